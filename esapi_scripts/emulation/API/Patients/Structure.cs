using System;
using System.Collections;
using System.Collections.Generic;
using System.Linq;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>A structure of a structure set.</summary>
    public class Structure : ApiDataObject
    {
        internal readonly StructureRecord Row;
        private readonly StructureSetRecord _set;

        internal Structure(Life life, StructureSetRecord set, StructureRecord row) : base(life, row)
        {
            _set = set;
            Row = row;
        }

        public new string Id
        {
            get { return base.Id; }
            set { Set("Id", () => Rename(value)); }
        }

#if ESAPI18
        public new string Name
        {
            get { return base.Name; }
            set { Set("Name", () => Row.Name = value); }
        }

        public new string Comment
        {
            get { return base.Comment; }
            set { Set("Comment", () => Row.Comment = value); }
        }

        public bool IsApproved
        {
            get { return Get("IsApproved", () => Row.Approved); }
        }

        public bool IsTarget
        {
            get { return Get("IsTarget", () => new[] { "PTV", "CTV", "GTV" }.Contains(Row.DicomType)); }
        }

        public bool HasCalculatedPlans
        {
            get { return Get("HasCalculatedPlans", () => StructureSet.PlansOn(Life, _set).Any(plan => plan.DoseValid)); }
        }
#endif

        public string DicomType
        {
            get { return Get("DicomType", () => Row.DicomType); }
        }

        /// <summary>Volume in cm3.</summary>
        public double Volume
        {
            get { return Get("Volume", () => Row.VolumeCc); }
        }

        public bool IsEmpty
        {
            get { return Get("IsEmpty", () => Now().IsEmpty); }
        }

        public bool HasSegment
        {
            get { return Get("HasSegment", () => Row.Segment != null); }
        }

        public bool IsHighResolution
        {
            get { return Get("IsHighResolution", () => Row.HighResolution); }
        }

        public VVector CenterPoint
        {
            get { return Get("CenterPoint", () => Row.Centre == null ? VVector.Undefined : Vectors.From(Row.Centre)); }
        }

        public int ROINumber
        {
            get { return Get("ROINumber", () => _set.Structures.IndexOf(Row) + 1); }
        }

        public IEnumerable<StructureCodeInfo> StructureCodeInfos
        {
            get { return Get("StructureCodeInfos", () => new List<StructureCodeInfo>()); }
        }

        public SegmentVolume SegmentVolume
        {
            get { return Get("SegmentVolume", () => new SegmentVolume(Life, Now())); }
            set { Set("SegmentVolume", () => Take(SegmentVolume.Given(value))); }
        }

        public SegmentVolume And(SegmentVolume other)
        {
            return Made("And", () => Now().And(SegmentVolume.Given(other)));
        }

        public SegmentVolume Or(SegmentVolume other)
        {
            return Made("Or", () => Now().Or(SegmentVolume.Given(other)));
        }

        public SegmentVolume Sub(SegmentVolume other)
        {
            return Made("Sub", () => Now().Sub(SegmentVolume.Given(other)));
        }

        public SegmentVolume Xor(SegmentVolume other)
        {
            return Made("Xor", () => Now().Xor(SegmentVolume.Given(other)));
        }

        public SegmentVolume Not()
        {
            return Made("Not", () => Now().Not());
        }

        public SegmentVolume Margin(double marginInMM)
        {
            return Made("Margin", () => Now().Margin(marginInMM));
        }

        public SegmentVolume AsymmetricMargin(AxisAlignedMargins margins)
        {
            return Made("AsymmetricMargin", () => Now().AsymmetricMargin(margins));
        }

        public bool CanConvertToHighResolution()
        {
            return Call("CanConvertToHighResolution", () => !Row.HighResolution && WhyNotEdit() == null);
        }

        public void ConvertToHighResolution()
        {
            Set("ConvertToHighResolution", () =>
            {
                CheckEditable();
                if (Row.HighResolution)
                {
                    throw new ApplicationException("Structure " + Row.Id + " is of high resolution already.");
                }
                Store(Now().InHighResolution());
            });
        }

        public bool CanEditSegmentVolume(out string errorMessage)
        {
            errorMessage = Call("CanEditSegmentVolume", WhyNotEdit) ?? "";
            return errorMessage == "";
        }

        /// <summary>Closed polygons on a plane of the image, in DICOM coordinates; none where the structure does not reach.</summary>
        public VVector[][] GetContoursOnImagePlane(int z)
        {
            return Call("GetContoursOnImagePlane", () => Now().Contours(PlaneOf(z)).Select(polygon => (VVector[])polygon.Clone()).ToArray());
        }

        public void AddContourOnImagePlane(VVector[] contour, int z)
        {
            Set("AddContourOnImagePlane", () => Draw("add", contour, z));
        }

        public void SubtractContourOnImagePlane(VVector[] contour, int z)
        {
            Set("SubtractContourOnImagePlane", () => Draw("subtract", contour, z));
        }

        public void ClearAllContoursOnImagePlane(int z)
        {
            Set("ClearAllContoursOnImagePlane", () => Draw("clear", new VVector[0], z));
        }

        public bool IsPointInsideSegment(VVector point)
        {
            return Call("IsPointInsideSegment", () => Now().Inside(new[] { point })[0]);
        }

        public SegmentProfile GetSegmentProfile(VVector start, VVector stop, BitArray preallocatedBuffer)
        {
            return Call("GetSegmentProfile", () =>
            {
                int count = preallocatedBuffer.Length;
                VVector step = count > 1 ? (stop - start) / (count - 1) : new VVector();
                bool[] inside = Now().Inside(Enumerable.Range(0, count).Select(index => start + step * index));
                for (int index = 0; index < count; index++)
                {
                    preallocatedBuffer[index] = inside[index];
                }
                return new SegmentProfile(start, step, preallocatedBuffer);
            });
        }

        public int GetNumberOfSeparateParts()
        {
            return Call("GetNumberOfSeparateParts", () => Now().Parts());
        }

        public bool GetAssignedHU(out double huValue)
        {
            huValue = double.NaN;
            return Call("GetAssignedHU", () => false);
        }

        private Segment Now()
        {
            return Segment.Of(Life, Row);
        }

        private SegmentVolume Made(string member, Func<Segment> make)
        {
            return Call(member, () => new SegmentVolume(Life, make()));
        }

        private void Take(Segment segment)
        {
            CheckEditable();
            if (segment.HighResolution != Row.HighResolution && !Life.Settings.Switches.MixedResolutionConverts)
            {
                throw new ApplicationException(
                    "Structure " + Row.Id + " is of " + Resolution(Row.HighResolution) + " resolution and the segment of "
                    + Resolution(segment.HighResolution) + "; they must be the same.");
            }
            Store(Row.HighResolution ? segment.InHighResolution() : segment);
        }

        private void Store(Segment segment)
        {
            Row.Segment = segment.Handle;
            Row.VolumeCc = segment.VolumeCc;
            Row.Centre = segment.Centre;
            Row.HighResolution = segment.HighResolution;
            if (Row.DicomType == "EXTERNAL" || Row.DicomType == "SUPPORT")
            {
                foreach (PlanRecord plan in StructureSet.PlansOn(Life, _set))
                {
                    plan.DoseValid = false;
                }
            }
        }

        private void Draw(string op, VVector[] contour, int z)
        {
            CheckEditable();
            Store(Now().Edited(op, contour, PlaneOf(z)));
        }

        private int PlaneOf(int z)
        {
            int planes = Life.Record.Image.Size[2];
            if (z < 0 || z >= planes)
            {
                throw new ArgumentOutOfRangeException("z", "There is no image plane " + z + "; the planes are 0 to " + (planes - 1) + ".");
            }
            return z;
        }

        private void Rename(string wanted)
        {
            CheckEditable();
            string id = StructureSet.CheckedStructureId(Life, _set, Row, wanted);
            foreach (PlanRecord plan in StructureSet.PlansOn(Life, _set))
            {
                plan.Target = plan.Target == Row.Id ? id : plan.Target;
                foreach (ObjectiveRecord objective in plan.Objectives.Where(item => item.Structure == Row.Id))
                {
                    objective.Structure = id;
                }
            }
            Row.Id = id;
        }

        private void CheckEditable()
        {
            string why = WhyNotEdit();
            if (why != null)
            {
                throw new ApplicationException("Structure " + Row.Id + " cannot be edited: " + why);
            }
        }

        private string WhyNotEdit()
        {
            return Row.Approved ? "it is approved." : StructureSet.WhyLocked(Life, _set);
        }

        private static string Resolution(bool high)
        {
            return high ? "high" : "normal";
        }
    }
}
