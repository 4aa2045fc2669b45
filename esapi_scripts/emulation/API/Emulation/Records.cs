using System.Collections.Generic;
using System.Linq;

namespace Beamwright.Emulation
{
    /// <summary>A thing of the database as it stands in memory: what every wrapper of it shares.</summary>
    internal abstract class Record
    {
        public string Id = "";
        public string Name = "";
        public string Comment = "";

        /// <summary>Taken out of the patient: its wrappers are dead.</summary>
        public bool Removed;
    }

    /// <summary>The patient: everything that one save writes.</summary>
    internal sealed class PatientRecord : Record
    {
        public string FirstName;
        public string LastName;
        public string Sex;
        public string Orientation;
        public ImageRecord Image;
        public List<StructureSetRecord> StructureSets = new List<StructureSetRecord>();
        public List<CourseRecord> Courses = new List<CourseRecord>();

        public IEnumerable<PlanRecord> Plans
        {
            get { return Courses.SelectMany(course => course.Plans); }
        }

        public static PatientRecord From(IDictionary<string, object> json)
        {
            return new PatientRecord
            {
                Id = json.Text("id"),
                FirstName = json.Text("first_name"),
                LastName = json.Text("last_name"),
                Sex = json.Text("sex"),
                Orientation = json.Text("orientation", "HeadFirstSupine"),
                Image = ImageRecord.From(Json.Object(json["image"])),
                StructureSets = json.Each("structure_sets", StructureSetRecord.From),
                Courses = json.Each("courses", CourseRecord.From),
            };
        }

        public Dictionary<string, object> To()
        {
            return new Dictionary<string, object>
            {
                { "id", Id }, { "first_name", FirstName }, { "last_name", LastName }, { "sex", Sex },
                { "orientation", Orientation }, { "image", Image.To() },
                { "structure_sets", StructureSets.Select(set => set.To()).ToList() },
                { "courses", Courses.Select(course => course.To()).ToList() },
            };
        }
    }

    /// <summary>The geometry of the image; origin is the centre of voxel (0,0,0).</summary>
    internal sealed class ImageRecord : Record
    {
        public int[] Size;
        public double[] Res;
        public double[] Origin;
        public double[] XDirection;
        public double[] YDirection;
        public double[] ZDirection;

        /// <summary>Null where none was set.</summary>
        public double[] UserOrigin;

        public static ImageRecord From(IDictionary<string, object> json)
        {
            return new ImageRecord
            {
                Id = json.Text("id"),
                Size = Json.Wholes(json["size"]),
                Res = Json.Numbers(json["res"]),
                Origin = Json.Numbers(json["origin"]),
                XDirection = Json.Numbers(json.Get("x_direction")) ?? new double[] { 1, 0, 0 },
                YDirection = Json.Numbers(json.Get("y_direction")) ?? new double[] { 0, 1, 0 },
                ZDirection = Json.Numbers(json.Get("z_direction")) ?? new double[] { 0, 0, 1 },
                UserOrigin = Json.Numbers(json.Get("user_origin")),
            };
        }

        public Dictionary<string, object> To()
        {
            return new Dictionary<string, object>
            {
                { "id", Id }, { "size", Size }, { "res", Res }, { "origin", Origin },
                { "x_direction", XDirection }, { "y_direction", YDirection }, { "z_direction", ZDirection },
                { "user_origin", UserOrigin },
            };
        }
    }

    /// <summary>A structure set on the image.</summary>
    internal sealed class StructureSetRecord : Record
    {
        public string Image;
        public List<StructureRecord> Structures = new List<StructureRecord>();

        public static StructureSetRecord From(IDictionary<string, object> json)
        {
            return new StructureSetRecord
            {
                Id = json.Text("id"),
                Image = json.Text("image"),
                Structures = json.Each("structures", StructureRecord.From),
            };
        }

        public Dictionary<string, object> To()
        {
            return new Dictionary<string, object>
            {
                { "id", Id }, { "image", Image }, { "structures", Structures.Select(structure => structure.To()).ToList() },
            };
        }
    }

    /// <summary>A structure; its segment is a handle into the physics, null where nothing was ever drawn.</summary>
    internal sealed class StructureRecord : Record
    {
        public string DicomType = "";
        public string Segment;
        public double VolumeCc;
        public double[] Centre;
        public bool HighResolution;
        public bool Approved;

        public static StructureRecord From(IDictionary<string, object> json)
        {
            return new StructureRecord
            {
                Id = json.Text("id"),
                Name = json.Text("name"),
                Comment = json.Text("comment"),
                DicomType = json.Text("dicom_type"),
                Segment = (string)json.Get("segment"),
                VolumeCc = json.Number("volume_cc"),
                Centre = Json.Numbers(json.Get("centre")),
                HighResolution = json.Flag("high_resolution"),
                Approved = json.Flag("approved"),
            };
        }

        public Dictionary<string, object> To()
        {
            return new Dictionary<string, object>
            {
                { "id", Id }, { "name", Name }, { "comment", Comment }, { "dicom_type", DicomType }, { "segment", Segment }, { "volume_cc", VolumeCc },
                { "centre", Centre }, { "high_resolution", HighResolution }, { "approved", Approved },
            };
        }
    }

    /// <summary>A course of plans.</summary>
    internal sealed class CourseRecord : Record
    {
        public List<PlanRecord> Plans = new List<PlanRecord>();

        public static CourseRecord From(IDictionary<string, object> json)
        {
            return new CourseRecord { Id = json.Text("id"), Comment = json.Text("comment"), Plans = json.Each("plans", PlanRecord.From) };
        }

        public Dictionary<string, object> To()
        {
            return new Dictionary<string, object>
            {
                { "id", Id }, { "comment", Comment }, { "plans", Plans.Select(plan => plan.To()).ToList() },
            };
        }
    }
}
