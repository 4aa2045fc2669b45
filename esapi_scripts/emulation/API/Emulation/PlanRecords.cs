using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;

namespace Beamwright.Emulation
{
    /// <summary>A plan: dose and fluence are handles into the physics.</summary>
    internal sealed class PlanRecord : Record
    {
        public string Uid = "";
        public string StructureSet;
        public string Approval = "UnApproved";
        public bool Treated;
        public int? Fractions;
        public double? DosePerFractionGy;
        public double TreatmentRatio = 1.0;
        public string Target = "";

        /// <summary>Eclipse's own number, as PlanNormalizationValue shows it.</summary>
        public double Normalization = 100.0;

        public string Orientation = "HeadFirstSupine";
        public Dictionary<string, string> Models = new Dictionary<string, string>();
        public Dictionary<string, Dictionary<string, string>> Options = new Dictionary<string, Dictionary<string, string>>();
        public List<BeamRecord> Beams = new List<BeamRecord>();
        public List<ObjectiveRecord> Objectives = new List<ObjectiveRecord>();
        public bool JawTracking;
        public string Fluence;
        public string Dose;
        public bool DoseValid;
        public string DoseKind = "";
        public string Created = "";

        /// <summary>Total prescribed dose, Gy; null without a prescription.</summary>
        public double? TotalDoseGy
        {
            get { return Fractions * DosePerFractionGy; }
        }

        /// <summary>Beyond UnApproved and Rejected, a plan cannot be edited.</summary>
        public bool Approved
        {
            get { return Approval != "UnApproved" && Approval != "Rejected"; }
        }

        /// <summary>A copy as CopyPlanSetup makes it: new identity, unapproved, untreated; the caller decides what stays.</summary>
        public PlanRecord Copy()
        {
            PlanRecord copy = From(To());
            copy.Uid = NewUid();
            copy.Approval = "UnApproved";
            copy.Treated = false;
            copy.Created = Now();
            return copy;
        }

        public static string NewUid()
        {
            byte[] random = Guid.NewGuid().ToByteArray();
            return "2.25." + (BitConverter.ToUInt64(random, 0) | 1) + BitConverter.ToUInt64(random, 8);
        }

        public static string Now()
        {
            return DateTime.Now.ToString("yyyy-MM-ddTHH:mm:ss", CultureInfo.InvariantCulture);
        }

        public static PlanRecord From(IDictionary<string, object> json)
        {
            return new PlanRecord
            {
                Id = json.Text("id"),
                Uid = json.Text("uid"),
                Name = json.Text("name"),
                Comment = json.Text("comment"),
                StructureSet = (string)json.Get("structure_set"),
                Approval = json.Text("approval", "UnApproved"),
                Treated = json.Flag("treated"),
                Fractions = Json.WholeOrNull(json.Get("fractions")),
                DosePerFractionGy = Json.NumberOrNull(json.Get("dose_per_fraction_gy")),
                TreatmentRatio = json.Number("treatment_ratio", 1.0),
                Target = json.Text("target"),
                Normalization = json.Number("normalization", 100.0),
                Orientation = json.Text("orientation", "HeadFirstSupine"),
                Models = Words(json.Get("models")),
                Options = OptionsFrom(json.Get("options")),
                Beams = json.Each("beams", BeamRecord.From),
                Objectives = json.Each("objectives", ObjectiveRecord.From),
                JawTracking = json.Flag("jaw_tracking"),
                Fluence = (string)json.Get("fluence"),
                Dose = (string)json.Get("dose"),
                DoseValid = json.Flag("dose_valid"),
                DoseKind = json.Text("dose_kind"),
                Created = json.Text("created"),
            };
        }

        public Dictionary<string, object> To()
        {
            return new Dictionary<string, object>
            {
                { "id", Id }, { "uid", Uid }, { "name", Name }, { "comment", Comment }, { "structure_set", StructureSet },
                { "approval", Approval }, { "treated", Treated }, { "fractions", Fractions },
                { "dose_per_fraction_gy", DosePerFractionGy }, { "treatment_ratio", TreatmentRatio }, { "target", Target },
                { "normalization", Normalization }, { "orientation", Orientation },
                { "models", Models.ToDictionary(entry => entry.Key, entry => (object)entry.Value) },
                { "options", Options.ToDictionary(entry => entry.Key, entry => (object)entry.Value.ToDictionary(e => e.Key, e => (object)e.Value)) },
                { "beams", Beams.Select(beam => beam.To()).ToList() },
                { "objectives", Objectives.Select(objective => objective.To()).ToList() },
                { "jaw_tracking", JawTracking }, { "fluence", Fluence }, { "dose", Dose }, { "dose_valid", DoseValid },
                { "dose_kind", DoseKind }, { "created", Created },
            };
        }

        private static Dictionary<string, string> Words(object json)
        {
            return json == null
                ? new Dictionary<string, string>()
                : Json.Object(json).ToDictionary(entry => entry.Key, entry => (string)entry.Value);
        }

        private static Dictionary<string, Dictionary<string, string>> OptionsFrom(object json)
        {
            return json == null
                ? new Dictionary<string, Dictionary<string, string>>()
                : Json.Object(json).ToDictionary(entry => entry.Key, entry => Words(entry.Value));
        }
    }

    /// <summary>A beam; angles in IEC 61217 whatever the API speaks.</summary>
    internal sealed class BeamRecord : Record
    {
        public int Number;
        public string Machine = "";
        public string Energy = "";
        public int DoseRate;
        public string Technique = "STATIC";
        public double GantryDeg;
        public double? GantryStopDeg;
        public double CollimatorDeg;
        public double CouchDeg;
        public double[] Isocentre = new double[3];
        public double[] Jaws = new double[4];
        public double Weight = 1.0;
        public string Mlc = "";
        public double? Mu;
        public bool Setup;
        public int ControlPoints;
        public List<LogRecord> Logs = new List<LogRecord>();

        /// <summary>Keys of the JSON that this emulation has no use for: kept and written back.</summary>
        public Dictionary<string, object> Others = new Dictionary<string, object>();

        public static BeamRecord From(IDictionary<string, object> json)
        {
            var beam = new BeamRecord
            {
                Id = json.Text("id"),
                Number = json.Whole("number"),
                Machine = json.Text("machine"),
                Energy = json.Text("energy"),
                DoseRate = json.Whole("dose_rate"),
                Technique = json.Text("technique", "STATIC"),
                GantryDeg = json.Number("gantry_deg"),
                GantryStopDeg = Json.NumberOrNull(json.Get("gantry_stop_deg")),
                CollimatorDeg = json.Number("collimator_deg"),
                CouchDeg = json.Number("couch_deg"),
                Isocentre = Json.Numbers(json["isocentre"]),
                Jaws = Json.Numbers(json["jaws"]),
                Weight = json.Number("weight", 1.0),
                Mlc = json.Text("mlc"),
                Mu = Json.NumberOrNull(json.Get("mu")),
                Setup = json.Flag("setup"),
                ControlPoints = json.Whole("control_points"),
                Logs = json.Each("logs", LogRecord.From),
            };
            Dictionary<string, object> known = beam.To();
            beam.Others = json.Where(entry => !known.ContainsKey(entry.Key)).ToDictionary(entry => entry.Key, entry => entry.Value);
            return beam;
        }

        public Dictionary<string, object> To()
        {
            var json = new Dictionary<string, object>
            {
                { "id", Id }, { "number", Number }, { "machine", Machine }, { "energy", Energy }, { "dose_rate", DoseRate },
                { "technique", Technique }, { "gantry_deg", GantryDeg }, { "gantry_stop_deg", GantryStopDeg },
                { "collimator_deg", CollimatorDeg }, { "couch_deg", CouchDeg }, { "isocentre", Isocentre }, { "jaws", Jaws },
                { "weight", Weight }, { "mlc", Mlc }, { "mu", Mu }, { "setup", Setup }, { "control_points", ControlPoints },
                { "logs", Logs.Select(log => log.To()).ToList() },
            };
            foreach (KeyValuePair<string, object> entry in Others)
            {
                json[entry.Key] = entry.Value;
            }
            return json;
        }
    }

    /// <summary>One entry of a beam's calculation log.</summary>
    internal sealed class LogRecord
    {
        public string Category = "";
        public List<string> Lines = new List<string>();

        public static LogRecord From(IDictionary<string, object> json)
        {
            return new LogRecord { Category = json.Text("category"), Lines = Json.Texts(json.Get("lines")) };
        }

        public Dictionary<string, object> To()
        {
            return new Dictionary<string, object> { { "category", Category }, { "lines", Lines } };
        }
    }

    /// <summary>An objective, or, of kind "nto", the normal-tissue parameter.</summary>
    internal sealed class ObjectiveRecord : Record
    {
        public string Kind = "point";
        public string Structure = "";
        public string Operator = "Upper";
        public double? DoseGy;
        public double? VolumePercent;
        public double? A;
        public double Priority;
        public NtoRecord Nto;

        public static ObjectiveRecord From(IDictionary<string, object> json)
        {
            object nto = json.Get("nto");
            return new ObjectiveRecord
            {
                Kind = json.Text("kind"),
                Structure = json.Text("structure"),
                Operator = json.Text("operator"),
                DoseGy = Json.NumberOrNull(json.Get("dose_gy")),
                VolumePercent = Json.NumberOrNull(json.Get("volume_percent")),
                A = Json.NumberOrNull(json.Get("a")),
                Priority = json.Number("priority"),
                Nto = nto == null ? null : NtoRecord.From(Json.Object(nto)),
            };
        }

        public Dictionary<string, object> To()
        {
            return new Dictionary<string, object>
            {
                { "kind", Kind }, { "structure", Structure }, { "operator", Operator }, { "dose_gy", DoseGy },
                { "volume_percent", VolumePercent }, { "a", A }, { "priority", Priority },
                { "nto", Nto == null ? null : Nto.To() },
            };
        }
    }

    /// <summary>The shape of a normal-tissue objective.</summary>
    internal sealed class NtoRecord
    {
        public double DistanceMm;
        public double StartPercent;
        public double EndPercent;
        public double FallOff;
        public bool Automatic;

        public static NtoRecord From(IDictionary<string, object> json)
        {
            return new NtoRecord
            {
                DistanceMm = json.Number("distance_mm"),
                StartPercent = json.Number("start_percent"),
                EndPercent = json.Number("end_percent"),
                FallOff = json.Number("fall_off"),
                Automatic = json.Flag("automatic"),
            };
        }

        public Dictionary<string, object> To()
        {
            return new Dictionary<string, object>
            {
                { "distance_mm", DistanceMm }, { "start_percent", StartPercent }, { "end_percent", EndPercent },
                { "fall_off", FallOff }, { "automatic", Automatic },
            };
        }
    }
}
