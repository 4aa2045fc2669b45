using System;
using System.Collections.Generic;
using System.Linq;
using VMS.TPS.Common.Model.Types;

namespace Beamwright.Emulation
{
    /// <summary>
    /// A volume that never changes, and what can be made of it. The one idea: a handle into the physics, null for the empty
    /// volume, which needs no physics.
    /// </summary>
    internal sealed class Segment
    {
        public readonly string Handle;
        public readonly double VolumeCc;
        public readonly double[] Centre;
        public readonly bool HighResolution;

        private readonly Life _life;

        private Segment(Life life, string handle, double volumeCc, double[] centre, bool highResolution)
        {
            _life = life;
            Handle = handle;
            VolumeCc = volumeCc;
            Centre = centre;
            HighResolution = highResolution;
        }

        public bool IsEmpty
        {
            get { return Handle == null || VolumeCc <= 0; }
        }

        public static Segment Of(Life life, StructureRecord structure)
        {
            return new Segment(life, structure.Segment, structure.VolumeCc, structure.Centre, structure.HighResolution);
        }

        public Segment And(Segment other)
        {
            return Combined("and", other, (a, b) => a.IsEmpty ? a : b.IsEmpty ? b : null);
        }

        public Segment Or(Segment other)
        {
            return Combined("or", other, (a, b) => a.IsEmpty ? b : b.IsEmpty ? a : null);
        }

        public Segment Sub(Segment other)
        {
            return Combined("sub", other, (a, b) => a.IsEmpty || b.IsEmpty ? a : null);
        }

        public Segment Xor(Segment other)
        {
            return Combined("xor", other, (a, b) => a.IsEmpty ? b : b.IsEmpty ? a : null);
        }

        public Segment Not()
        {
            if (Handle == null)
            {
                throw new ApplicationException("Nothing has been drawn, so there is nothing to invert.");
            }
            return Asked("not", HighResolution, new Dictionary<string, object>());
        }

        public Segment Margin(double mm)
        {
            CheckMargin(mm);
            return IsEmpty ? this : Asked("margin", HighResolution, new Dictionary<string, object> { { "mm", mm } });
        }

        public Segment AsymmetricMargin(AxisAlignedMargins margins)
        {
            double[] sides = { margins.X1, margins.Y1, margins.Z1, margins.X2, margins.Y2, margins.Z2 };
            foreach (double mm in sides)
            {
                CheckMargin(mm);
                if (mm < 0)
                {
                    throw new ArgumentException("A margin of " + mm + " mm: the margins of AxisAlignedMargins cannot be negative; shrink with Inner.");
                }
            }
            if (IsEmpty)
            {
                return this;
            }
            bool inner = margins.Geometry == StructureMarginGeometry.Inner;
            return Asked("asymmetric", HighResolution, new Dictionary<string, object> { { "margins", sides }, { "inner", inner } });
        }

        public Segment InHighResolution()
        {
            if (HighResolution)
            {
                return this;
            }
            return Handle == null
                ? new Segment(_life, null, 0, null, true)
                : Asked("high_resolution", true, new Dictionary<string, object>());
        }

        /// <summary>Adds, subtracts or clears a polygon on one plane of the image.</summary>
        public Segment Edited(string op, IEnumerable<VVector> points, int plane)
        {
            var args = Args();
            args["segment"] = Handle;
            args["plane"] = plane;
            args["op"] = op;
            args["points"] = points.Select(Vectors.To).ToList();
            return Made(_life.Physics.Ask("contour_edit", args), HighResolution);
        }

        /// <summary>Closed polygons on a plane of the image, in DICOM coordinates.</summary>
        public VVector[][] Contours(int plane)
        {
            VVector[][] polygons;
            return IsEmpty || !AllContours().TryGetValue(plane, out polygons) ? new VVector[0][] : polygons;
        }

        public bool[] Inside(IEnumerable<VVector> points)
        {
            List<double[]> asked = points.Select(Vectors.To).ToList();
            if (IsEmpty)
            {
                return new bool[asked.Count];
            }
            var args = Args();
            args["segment"] = Handle;
            args["points"] = asked;
            return Json.Items(_life.Physics.Ask("inside", args).Header["inside"]).Cast<bool>().ToArray();
        }

        public int Parts()
        {
            if (IsEmpty)
            {
                return 0;
            }
            var args = Args();
            args["op"] = "or";
            args["a"] = Handle;
            args["b"] = Handle;
            return _life.Physics.Ask("segment", args).Header.Whole("parts");
        }

        private Segment Combined(string op, Segment other, Func<Segment, Segment, Segment> whenEmpty)
        {
            if (HighResolution != other.HighResolution)
            {
                return InOneResolution(op, other, whenEmpty);
            }
            return whenEmpty(this, other) ?? Asked(op, HighResolution, new Dictionary<string, object> { { "b", other.Handle } });
        }

        private Segment InOneResolution(string op, Segment other, Func<Segment, Segment, Segment> whenEmpty)
        {
            if (!_life.Settings.Switches.MixedResolutionConverts)
            {
                throw new ApplicationException(
                    "A high-resolution segment and one of normal resolution cannot be combined. Call ConvertToHighResolution on the other structure first.");
            }
            return InHighResolution().Combined(op, other.InHighResolution(), whenEmpty);
        }

        private void CheckMargin(double mm)
        {
            double limit = _life.Settings.Switches.MarginLimitMm;
            if (limit > 0 && !(Math.Abs(mm) <= limit))
            {
                throw new ArgumentException("A margin of " + mm + " mm: one call can add or take away at most " + limit + " mm.");
            }
        }

        private Dictionary<int, VVector[][]> AllContours()
        {
            object known;
            if (!_life.Cache.TryGetValue("contours " + Handle, out known))
            {
                var args = Args();
                args["segment"] = Handle;
                IDictionary<string, object> planes = Json.Object(_life.Physics.Ask("contours", args).Header["planes"]);
                known = planes.ToDictionary(entry => int.Parse(entry.Key), entry => Polygons(entry.Value));
                _life.Cache["contours " + Handle] = known;
            }
            return (Dictionary<int, VVector[][]>)known;
        }

        private static VVector[][] Polygons(object json)
        {
            return Json.Items(json)
                .Select(polygon => Json.Items(polygon).Select(point => Vectors.From(Json.Numbers(point))).ToArray())
                .ToArray();
        }

        private Segment Asked(string op, bool highResolution, Dictionary<string, object> args)
        {
            args["patient"] = _life.Record.Id;
            args["op"] = op;
            args["a"] = Handle;
            return Made(_life.Physics.Ask("segment", args), highResolution);
        }

        private Segment Made(Reply reply, bool highResolution)
        {
            IDictionary<string, object> made = reply.Header;
            return new Segment(
                _life, (string)made.Get("segment"), made.Number("volume_cc"), Json.Numbers(made.Get("centre")), highResolution);
        }

        private Dictionary<string, object> Args()
        {
            return new Dictionary<string, object> { { "patient", _life.Record.Id } };
        }
    }
}
