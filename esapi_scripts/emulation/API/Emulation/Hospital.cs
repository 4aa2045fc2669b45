using System;
using System.Linq;
using VMS.TPS.Common.Model.API;

namespace Beamwright.Emulation
{
    /// <summary>
    /// What a planner does with Eclipse's own windows: opens a patient and a plan, saves, closes. For a host that plays
    /// Eclipse; the calling thread of Open owns everything that is reached from the context.
    /// </summary>
    public static class Hospital
    {
        private static Life _life;

        /// <summary>Is there work that the planner has not saved?</summary>
        public static bool HasUnsaved
        {
            get { return _life != null && _life.Dirty; }
        }

        internal static bool IsOpen
        {
            get { return _life != null; }
        }

        /// <summary>Opens a patient, with a plan unless courseId or planId is null or empty.</summary>
        public static ScriptContext Open(string patientId, string courseId, string planId)
        {
            if (_life != null)
            {
                throw new InvalidOperationException("Patient " + _life.Record.Id + " is open; close it first.");
            }
            Life life = Life.Open(patientId);
            if (life == null)
            {
                throw new ArgumentException("There is no patient " + patientId + ".");
            }
            var context = new ScriptContext(life, CourseOf(life, courseId), PlanOf(life, courseId, planId));
            _life = life;
            return context;
        }

        /// <summary>What the planner does with Save.</summary>
        public static void Save()
        {
            if (_life == null)
            {
                throw new InvalidOperationException("No patient is open; there is nothing to save.");
            }
            _life.Save();
        }

        /// <summary>Closes the patient; unsaved work is an error, as Eclipse would ask about it.</summary>
        public static void Close()
        {
            if (HasUnsaved)
            {
                throw new InvalidOperationException("Patient " + _life.Record.Id + " has unsaved work. Save it, or close with ForceClose and lose it.");
            }
            ForceClose();
        }

        /// <summary>Closes the patient; unsaved work is lost.</summary>
        public static void ForceClose()
        {
            if (_life != null)
            {
                _life.End();
            }
            _life = null;
        }

        private static CourseRecord CourseOf(Life life, string courseId)
        {
            if (string.IsNullOrEmpty(courseId))
            {
                return null;
            }
            CourseRecord course = life.Record.Courses.FirstOrDefault(item => item.Id == courseId);
            if (course == null)
            {
                throw new ArgumentException("Patient " + life.Record.Id + " has no course " + courseId + ".");
            }
            return course;
        }

        private static PlanRecord PlanOf(Life life, string courseId, string planId)
        {
            CourseRecord course = CourseOf(life, courseId);
            if (course == null || string.IsNullOrEmpty(planId))
            {
                return null;
            }
            PlanRecord plan = course.Plans.FirstOrDefault(item => item.Id == planId);
            if (plan == null)
            {
                throw new ArgumentException("Course " + courseId + " of patient " + life.Record.Id + " has no plan " + planId + ".");
            }
            return plan;
        }
    }
}
