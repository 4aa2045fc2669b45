using System;
using System.Collections.Generic;
using System.Linq;
using Beamwright.Emulation;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>What a planner has open when a plug-in is started.</summary>
    public class ScriptContext
    {
        private readonly Life _life;
        private readonly CourseRecord _course;
        private readonly PlanRecord _plan;

        internal ScriptContext(Life life, CourseRecord course, PlanRecord plan)
        {
            _life = life;
            _course = course;
            _plan = plan;
        }

        public Patient Patient
        {
            get { return Read("Patient", () => new Patient(_life)); }
        }

        public Course Course
        {
            get { return Read("Course", () => _course == null ? null : new Course(_life, _course)); }
        }

        public PlanSetup PlanSetup
        {
            get { return Read("PlanSetup", Plan); }
        }

        public ExternalPlanSetup ExternalPlanSetup
        {
            get { return Read("ExternalPlanSetup", Plan); }
        }

        public IonPlanSetup IonPlanSetup
        {
            get { return Read<IonPlanSetup>("IonPlanSetup", () => null); }
        }

        public BrachyPlanSetup BrachyPlanSetup
        {
            get { return Read<BrachyPlanSetup>("BrachyPlanSetup", () => null); }
        }

        public StructureSet StructureSet
        {
            get { return Read("StructureSet", () => Set() == null ? null : new StructureSet(_life, Set())); }
        }

        public Image Image
        {
            get { return Read("Image", () => new Image(_life, _life.Record.Image)); }
        }

        public User CurrentUser
        {
            get { return Read("CurrentUser", () => new User(_life)); }
        }

        public IEnumerable<PlanSetup> PlansInScope
        {
            get { return Read("PlansInScope", Plans); }
        }

        public IEnumerable<ExternalPlanSetup> ExternalPlansInScope
        {
            get { return Read("ExternalPlansInScope", Plans); }
        }

        public IEnumerable<PlanSum> PlanSumsInScope
        {
            get { return Read("PlanSumsInScope", () => new List<PlanSum>()); }
        }

#if ESAPI18
        public PlanSum PlanSum
        {
            get { return Read<PlanSum>("PlanSum", () => null); }
        }
#endif

        public string ApplicationName
        {
            get { return Read("ApplicationName", () => "External Beam Planning"); }
        }

        public string VersionInfo
        {
            get { return Read("VersionInfo", () => VersionProfile.Version); }
        }

        private T Read<T>(string member, Func<T> read)
        {
            _life.Read("ScriptContext." + member);
            return read();
        }

        private ExternalPlanSetup Plan()
        {
            return _plan == null ? null : new ExternalPlanSetup(_life, _course, _plan);
        }

        private List<ExternalPlanSetup> Plans()
        {
            return _course == null
                ? new List<ExternalPlanSetup>()
                : _course.Plans.Select(plan => new ExternalPlanSetup(_life, _course, plan)).ToList();
        }

        private StructureSetRecord Set()
        {
            return _plan == null
                ? _life.Record.StructureSets.FirstOrDefault()
                : _life.Record.StructureSets.FirstOrDefault(set => set.Id == _plan.StructureSet);
        }
    }
}
