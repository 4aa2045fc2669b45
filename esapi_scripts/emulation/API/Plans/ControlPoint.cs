using System;
using System.Collections;
using System.Collections.Generic;
using System.Linq;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>The control points of a beam: two until leaf motions are calculated, then as many as those have.</summary>
    public class ControlPointCollection : GuardedPart, IEnumerable<ControlPoint>
    {
        private readonly Beam _beam;

        internal ControlPointCollection(PlanSetup owner, Beam beam) : base(owner)
        {
            _beam = beam;
        }

        internal override Record Kept
        {
            get { return _beam.Record; }
        }

        public int Count
        {
            get { return Get("Count", () => _beam.ControlPointCount); }
        }

        public ControlPoint this[int index]
        {
            get
            {
                return Get("Item", () =>
                {
                    Amounts.Within(index, 0, _beam.ControlPointCount - 1, "index");
                    return new ControlPoint(Owner, _beam, index);
                });
            }
        }

        public IEnumerator<ControlPoint> GetEnumerator()
        {
            return Call("GetEnumerator", () => Enumerable.Range(0, _beam.ControlPointCount).Select(at => new ControlPoint(Owner, _beam, at)).GetEnumerator());
        }

        IEnumerator IEnumerable.GetEnumerator()
        {
            return GetEnumerator();
        }
    }

    /// <summary>The machine at one moment of a beam.</summary>
    public class ControlPoint : GuardedPart
    {
        private readonly Beam _beam;
        private readonly int _index;

        internal ControlPoint(PlanSetup owner, Beam beam, int index) : base(owner)
        {
            _beam = beam;
            _index = index;
        }

        internal override Record Kept
        {
            get { return _beam.Record; }
        }

        public Beam Beam
        {
            get { return Get("Beam", () => _beam); }
        }

        public double CollimatorAngle
        {
            get { return Get("CollimatorAngle", () => Angles.Collimator(Life.Settings, _beam.Record.CollimatorDeg)); }
        }

        public double GantryAngle
        {
            get { return Get("GantryAngle", () => Angles.Gantry(Life.Settings, _beam.IsArc ? Arcs.At(_beam.Record, Share) : _beam.Record.GantryDeg)); }
        }

        public int Index
        {
            get { return Get("Index", () => _index); }
        }

        public VRect<double> JawPositions
        {
            get { return Get("JawPositions", () => BeamParameters.Rectangle(_beam.Record.Jaws)); }
        }

        /// <summary>[bank, leaf], mm. The physics keeps the leaves to itself: what comes is leaves as open as the jaws.</summary>
        public float[,] LeafPositions
        {
            get { return Get("LeafPositions", () => BeamParameters.OpenLeaves(_beam.Record)); }
        }

        /// <summary>The share of the meterset delivered so far, 0 to 1.</summary>
        public double MetersetWeight
        {
            get { return Get("MetersetWeight", () => Share); }
        }

        public double PatientSupportAngle
        {
            get { return Get("PatientSupportAngle", () => Angles.Couch(Life.Settings, _beam.Record.CouchDeg)); }
        }

        public double TableTopLateralPosition
        {
            get { return Get("TableTopLateralPosition", () => double.NaN); }
        }

        public double TableTopLongitudinalPosition
        {
            get { return Get("TableTopLongitudinalPosition", () => double.NaN); }
        }

        public double TableTopVerticalPosition
        {
            get { return Get("TableTopVerticalPosition", () => double.NaN); }
        }

        private double Share
        {
            get { return (double)_index / (_beam.ControlPointCount - 1); }
        }
    }
}
