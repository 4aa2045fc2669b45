using System;
using System.Collections.Generic;
using System.Linq;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>A copy of what can be edited about a beam; Beam.ApplyParameters writes it.</summary>
    public class BeamParameters : GuardedPart
    {
        private const int LeafPairs = 60;

        internal readonly BeamRecord Source;
        private readonly List<ControlPointParameters> _controlPoints;
        private readonly GantryDirection _gantryDirection;
        private VVector _isocenter;
        private double _weightFactor;

        internal BeamParameters(Beam beam) : base(beam.Owner)
        {
            Source = beam.Record;
            _isocenter = Vectors.From(Source.Isocentre);
            _weightFactor = Source.Weight;
            _gantryDirection = beam.IsArc ? Arcs.Direction(Source) : GantryDirection.None;
            int count = beam.ControlPointCount;
            _controlPoints = Enumerable.Range(0, count).Select(at => new ControlPointParameters(beam, at, (double)at / (count - 1))).ToList();
        }

        public IEnumerable<ControlPointParameters> ControlPoints
        {
            get { return Call("ControlPoints", () => _controlPoints); }
        }

        public GantryDirection GantryDirection
        {
            get { return Call("GantryDirection", () => _gantryDirection); }
        }

        public VVector Isocenter
        {
            get { return Call("Isocenter", () => _isocenter); }
            set { Call("Isocenter", () => _isocenter = value); }
        }

        public double WeightFactor
        {
            get { return Call("WeightFactor", () => _weightFactor); }
            set { Call("WeightFactor", () => _weightFactor = value); }
        }

        public void SetAllLeafPositions(float[,] leafPositions)
        {
            foreach (ControlPointParameters point in ControlPoints)
            {
                point.LeafPositions = leafPositions;
            }
        }

        public void SetJawPositions(VRect<double> positions)
        {
            foreach (ControlPointParameters point in ControlPoints)
            {
                point.JawPositions = positions;
            }
        }

        internal static VRect<double> Rectangle(double[] jaws)
        {
            return new VRect<double>(jaws[0], jaws[1], jaws[2], jaws[3]);
        }

        internal static double[] Jaws(VRect<double> positions)
        {
            const double widest = 200;
            if (!(positions.X1 < positions.X2 && positions.Y1 < positions.Y2))
            {
                throw new ArgumentException("Jaws " + positions + " are not open; expected X1 < X2 and Y1 < Y2.");
            }
            return new[] { positions.X1, positions.Y1, positions.X2, positions.Y2 }
                .Select(mm => Amounts.Within(mm, -widest, widest, "jawPositions")).ToArray();
        }

        internal static float[,] OpenLeaves(BeamRecord beam)
        {
            if (beam.Mlc == "")
            {
                return new float[0, 0];
            }
            var leaves = new float[2, LeafPairs];
            for (int leaf = 0; leaf < LeafPairs; leaf++)
            {
                leaves[0, leaf] = (float)beam.Jaws[0];
                leaves[1, leaf] = (float)beam.Jaws[2];
            }
            return leaves;
        }

        internal static void CheckLeaves(float[,] leaves)
        {
            if (leaves == null || leaves.GetLength(0) != 2)
            {
                throw new ArgumentException("Leaf positions are [2, leaf pairs], mm.", "leafPositions");
            }
        }

        /// <summary>Writes what changed; checks everything before the first.</summary>
        internal void Write(PlanSetup plan)
        {
            double[] isocentre = Vectors.To(Isocenter).Select(mm => Amounts.Within(mm, -10000, 10000, "Isocenter")).ToArray();
            double[] jaws = Jaws(_controlPoints[0].JawPositions);
            double weight = Amounts.NotNegative(WeightFactor, "WeightFactor");
            if (!isocentre.SequenceEqual(Source.Isocentre) || !jaws.SequenceEqual(Source.Jaws) || _controlPoints.Any(point => point.LeavesSet))
            {
                plan.DropCalculations();
            }
            else if (weight != Source.Weight)
            {
                plan.DropDose();
            }
            Source.Isocentre = isocentre;
            Source.Jaws = jaws;
            Source.Weight = weight;
        }
    }

    /// <summary>A copy of what can be edited about a control point. The physics takes the first one's jaws, and no leaves.</summary>
    public class ControlPointParameters : GuardedPart
    {
        private readonly double _collimatorDeg;
        private readonly double _couchDeg;
        private readonly double _gantryDeg;
        private readonly int _index;
        private readonly double _share;
        private VRect<double> _jaws;
        private float[,] _leafPositions;

        internal ControlPointParameters(Beam beam, int index, double share) : base(beam.Owner)
        {
            _index = index;
            _collimatorDeg = Angles.Collimator(beam.Life.Settings, beam.Record.CollimatorDeg);
            _couchDeg = Angles.Couch(beam.Life.Settings, beam.Record.CouchDeg);
            _gantryDeg = Angles.Gantry(beam.Life.Settings, beam.IsArc ? Arcs.At(beam.Record, share) : beam.Record.GantryDeg);
            _share = share;
            _jaws = BeamParameters.Rectangle(beam.Record.Jaws);
            _leafPositions = BeamParameters.OpenLeaves(beam.Record);
        }

        internal bool LeavesSet { get; private set; }

        public double CollimatorAngle
        {
            get { return Call("CollimatorAngle", () => _collimatorDeg); }
        }

        public double GantryAngle
        {
            get { return Call("GantryAngle", () => _gantryDeg); }
        }

        public int Index
        {
            get { return Call("Index", () => _index); }
        }

        public VRect<double> JawPositions
        {
            get { return Call("JawPositions", () => _jaws); }
            set { Call("JawPositions", () => _jaws = value); }
        }

        public double MetersetWeight
        {
            get { return Call("MetersetWeight", () => _share); }
        }

        public double PatientSupportAngle
        {
            get { return Call("PatientSupportAngle", () => _couchDeg); }
        }

        public float[,] LeafPositions
        {
            get { return Call("LeafPositions", () => _leafPositions); }
            set { Call("LeafPositions", () => Move(value)); }
        }

        private bool Move(float[,] leafPositions)
        {
            BeamParameters.CheckLeaves(leafPositions);
            _leafPositions = (float[,])leafPositions.Clone();
            return LeavesSet = true;
        }
    }
}
