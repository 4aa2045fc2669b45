using System;
using System.Collections.Generic;
using System.Linq;
using Beamwright.Emulation;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>The open patient.</summary>
    public class Patient : ApiDataObject
    {
        internal Patient(Life life) : base(life, life.Record)
        {
        }

        internal override bool EndsWithASave
        {
            get { return false; }
        }

        public IEnumerable<Course> Courses
        {
            get { return Get("Courses", () => Life.Record.Courses.Select(course => new Course(Life, course)).ToList()); }
        }

        public IEnumerable<StructureSet> StructureSets
        {
            get { return Get("StructureSets", () => Life.Record.StructureSets.Select(set => new StructureSet(Life, set)).ToList()); }
        }

        public string FirstName
        {
            get { return Get("FirstName", () => Life.Record.FirstName); }
#if ESAPI18
            set { Set("FirstName", () => Life.Record.FirstName = value); }
#endif
        }

        public string LastName
        {
            get { return Get("LastName", () => Life.Record.LastName); }
#if ESAPI18
            set { Set("LastName", () => Life.Record.LastName = value); }
#endif
        }

        public string MiddleName
        {
            get { return Get("MiddleName", () => ""); }
        }

        public string Sex
        {
            get { return Get("Sex", () => Life.Record.Sex); }
        }

        public string Id2
        {
            get { return Get("Id2", () => ""); }
        }

        public string SSN
        {
            get { return Get("SSN", () => ""); }
        }

        public string PrimaryOncologistId
        {
            get { return Get("PrimaryOncologistId", () => ""); }
        }

        public DateTime? DateOfBirth
        {
            get { return Get<DateTime?>("DateOfBirth", () => null); }
        }

        public DateTime? CreationDateTime
        {
            get { return Get<DateTime?>("CreationDateTime", () => null); }
        }

        public bool HasModifiedData
        {
            get { return Get("HasModifiedData", () => Life.Dirty); }
        }

        public void BeginModifications()
        {
            Call("BeginModifications", () => Life.Writing = Unlocked());
        }

        public bool CanModifyData()
        {
            return Call("CanModifyData", () => !(Life.Settings.Switches.LockedCannotModify && Life.LockedBy != null));
        }

        public bool CanAddCourse()
        {
            return Call("CanAddCourse", () => Life.Writing);
        }

        public Course AddCourse()
        {
            return Edit("AddCourse", () =>
            {
                var course = new CourseRecord { Id = Ids.Free("C", Life.Settings.MaxCourseId, CourseIds()) };
                Life.Record.Courses.Add(course);
                return new Course(Life, course);
            });
        }

        public bool CanRemoveCourse(Course course)
        {
            return Call("CanRemoveCourse", () => Removable(course));
        }

        public void RemoveCourse(Course course)
        {
            Set("RemoveCourse", () =>
            {
                if (!Removable(course))
                {
                    throw new ApplicationException("Course " + course.Row.Id + " cannot be removed: it has plans that are approved or treated.");
                }
                Life.Record.Courses.Remove(course.Row);
                course.Row.Removed = true;
                course.Row.Plans.ForEach(Course.Discard);
            });
        }

        internal IEnumerable<string> CourseIds()
        {
            return Life.Record.Courses.Select(course => course.Id);
        }

        private bool Removable(Course course)
        {
            return Life.Writing && Life.Record.Courses.Contains(course.Row) && course.Row.Plans.All(plan => !plan.Approved && !plan.Treated);
        }

        private bool Unlocked()
        {
            if (Life.Ended)
            {
                throw new ObjectDisposedException(null, "Patient.BeginModifications was called on a patient that is closed.");
            }
            if (Life.LockedBy != null)
            {
                throw new ApplicationException("Patient " + Record.Id + " cannot be modified: it is open for " + Life.LockedBy + ".");
            }
            return true;
        }
    }
}
