using System;
using System.Collections.Generic;
using System.Linq;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>A copy of what can be edited about a beam; Beam.ApplyParameters writes it.</summary>
    public class BeamParameters
    {
        private const int LeafPairs = 60;

        internal readonly BeamRecord Source;
        private readonly List<ControlPointParameters> _controlPoints;

        internal BeamParameters(Beam beam)
        {
            Source = beam.Record;
            Isocenter = Vectors.From(Source.Isocentre);
            WeightFactor = Source.Weight;
            GantryDirection = beam.IsArc ? Arcs.Direction(Source) : GantryDirection.None;
            int count = beam.ControlPointCount;
            _controlPoints = Enumerable.Range(0, count).Select(at => new ControlPointParameters(beam, at, (double)at / (count - 1))).ToList();
        }

        public IEnumerable<ControlPointParameters> ControlPoints
        {
            get { return _controlPoints; }
        }

        public GantryDirection GantryDirection { get; private set; }
        public VVector Isocenter { get; set; }
        public double WeightFactor { get; set; }

        public void SetAllLeafPositions(float[,] leafPositions)
        {
            foreach (ControlPointParameters point in _controlPoints)
            {
                point.LeafPositions = leafPositions;
            }
        }

        public void SetJawPositions(VRect<double> positions)
        {
            foreach (ControlPointParameters point in _controlPoints)
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
    public class ControlPointParameters
    {
        private float[,] _leafPositions;

        internal ControlPointParameters(Beam beam, int index, double share)
        {
            Index = index;
            CollimatorAngle = Angles.Shown(beam.Life.Settings, beam.Record.CollimatorDeg);
            PatientSupportAngle = Angles.Shown(beam.Life.Settings, beam.Record.CouchDeg);
            GantryAngle = Angles.Shown(beam.Life.Settings, beam.IsArc ? Arcs.At(beam.Record, share) : beam.Record.GantryDeg);
            MetersetWeight = share;
            JawPositions = BeamParameters.Rectangle(beam.Record.Jaws);
            _leafPositions = BeamParameters.OpenLeaves(beam.Record);
        }

        internal bool LeavesSet { get; private set; }

        public double CollimatorAngle { get; private set; }
        public double GantryAngle { get; private set; }
        public int Index { get; private set; }
        public VRect<double> JawPositions { get; set; }
        public double MetersetWeight { get; private set; }
        public double PatientSupportAngle { get; private set; }

        public float[,] LeafPositions
        {
            get
            {
                return _leafPositions;
            }
            set
            {
                BeamParameters.CheckLeaves(value);
                _leafPositions = (float[,])value.Clone();
                LeavesSet = true;
            }
        }
    }
}
