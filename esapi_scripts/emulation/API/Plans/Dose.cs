using System;
using System.Collections.Generic;
using System.Linq;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>A dose on its grid. Its values follow the plan's DoseValuePresentation and normalisation.</summary>
    public class Dose : ApiDataObject
    {
        private readonly PlanSetup _plan;
        private readonly DoseValuePresentation _fetchedIn;

        internal Dose(PlanSetup plan) : base(plan.Life, DoseRecord.Of(plan.Life, plan.Record.Dose))
        {
            _plan = plan;
            _fetchedIn = plan.Presentation;
        }

        private DoseRecord Stored
        {
            get { return (DoseRecord)Record; }
        }

        public DoseValue DoseMax3D
        {
            get { return GetCurrent("DoseMax3D", () => Shown(Stored.MaxGy)); }
        }

        public VVector DoseMax3DLocation
        {
            get { return GetCurrent("DoseMax3DLocation", () => Vectors.From(Stored.MaxPosition)); }
        }

        /// <summary>The centre of voxel (0,0,0), or, by switch, its corner.</summary>
        public VVector Origin
        {
            get { return GetCurrent("Origin", FirstVoxel); }
        }

        public string SeriesUID
        {
            get { return GetCurrent("SeriesUID", () => Stored.Uid + ".1"); }
        }

        public string UID
        {
            get { return GetCurrent("UID", () => Stored.Uid); }
        }

        public VVector XDirection
        {
            get { return GetCurrent("XDirection", () => Vectors.From(Stored.Directions[0])); }
        }

        public VVector YDirection
        {
            get { return GetCurrent("YDirection", () => Vectors.From(Stored.Directions[1])); }
        }

        public VVector ZDirection
        {
            get { return GetCurrent("ZDirection", () => Vectors.From(Stored.Directions[2])); }
        }

        public double XRes
        {
            get { return GetCurrent("XRes", () => Stored.Res[0]); }
        }

        public double YRes
        {
            get { return GetCurrent("YRes", () => Stored.Res[1]); }
        }

        public double ZRes
        {
            get { return GetCurrent("ZRes", () => Stored.Res[2]); }
        }

        public int XSize
        {
            get { return GetCurrent("XSize", () => Stored.Size[0]); }
        }

        public int YSize
        {
            get { return GetCurrent("YSize", () => Stored.Size[1]); }
        }

        public int ZSize
        {
            get { return GetCurrent("ZSize", () => Stored.Size[2]); }
        }

        /// <summary>Fills buffer[x, y] with the stored numbers of a plane.</summary>
        public void GetVoxels(int planeIndex, int[,] preallocatedBuffer)
        {
            CallCurrent("GetVoxels", () =>
            {
                CheckPlane(planeIndex, preallocatedBuffer);
                Stored.Fill(preallocatedBuffer, planeIndex, Offset);
                return true;
            });
        }

        /// <summary>The dose that a stored number means: linear, by switch with an intercept.</summary>
        public DoseValue VoxelToDoseValue(int voxelValue)
        {
            return CallCurrent("VoxelToDoseValue", () => Shown((voxelValue - Offset) * Stored.StepGy));
        }

        /// <summary>Undefined outside the grid.</summary>
        public DoseValue GetDoseToPoint(VVector at)
        {
            return CallCurrent("GetDoseToPoint", () => AtPoints(new[] { at })[0]);
        }

        /// <summary>Dose at equal steps from start to stop, also into the buffer; not a number outside the grid.</summary>
        public DoseProfile GetDoseProfile(VVector start, VVector stop, double[] preallocatedBuffer)
        {
            return CallCurrent("GetDoseProfile", () =>
            {
                int last = preallocatedBuffer.Length - 1;
                VVector step = last > 0 ? (stop - start) / last : new VVector(0, 0, 0);
                DoseValue[] found = AtPoints(Enumerable.Range(0, last + 1).Select(at => start + step * at).ToArray());
                for (int at = 0; at <= last; at++)
                {
                    preallocatedBuffer[at] = found[at].Dose;
                }
                return new DoseProfile(start, step, (double[])preallocatedBuffer.Clone(), Shown(0).Unit);
            });
        }

        private double Offset
        {
            get { return Life.Settings.Switches.VoxelOffset; }
        }

        private DoseValue Shown(double rawGy)
        {
            return _plan.Presented(rawGy * _plan.Scale, Life.Settings.Switches.DoseAsFetched ? _fetchedIn : _plan.Presentation);
        }

        private DoseValue[] AtPoints(VVector[] points)
        {
            var question = new Dictionary<string, object> { { "dose", Stored.Id }, { "points", points.Select(Vectors.To).ToArray() } };
            return Json.Items(Life.Physics.Ask("point_dose", question).Header["gy"])
                .Select(gy => gy == null ? DoseValue.UndefinedDose() : Shown(Json.Number(gy))).ToArray();
        }

        private VVector FirstVoxel()
        {
            return Grid.Origin(Life.Settings, Stored.Origin, Stored.Res, Stored.Directions.Select(Vectors.From).ToArray());
        }

        private void CheckPlane(int planeIndex, int[,] buffer)
        {
            if (buffer == null)
            {
                throw new ArgumentNullException("preallocatedBuffer");
            }
            if (planeIndex < 0 || planeIndex >= Stored.Size[2])
            {
                throw new ArgumentOutOfRangeException("planeIndex", "The dose has planes 0 to " + (Stored.Size[2] - 1) + ", not " + planeIndex + ".");
            }
            bool fits = buffer.GetLength(0) == Stored.Size[0] && buffer.GetLength(1) == Stored.Size[1];
            if (!fits && !Life.Settings.Switches.BufferIgnored)
            {
                throw new ArgumentException(
                    "The buffer is int[" + buffer.GetLength(0) + ", " + buffer.GetLength(1) + "], expected int[" + Stored.Size[0] + ", " + Stored.Size[1] + "].",
                    "preallocatedBuffer");
            }
        }

        private T GetCurrent<T>(string member, Func<T> read)
        {
            return Get(member, () =>
            {
                RequireCurrent(member);
                return read();
            });
        }

        private T CallCurrent<T>(string member, Func<T> answer)
        {
            return Call(member, () =>
            {
                RequireCurrent(member);
                return answer();
            });
        }

        /// <summary>A dose that its plan no longer has is dead (?).</summary>
        private void RequireCurrent(string member)
        {
            if (_plan.Record.Removed || _plan.Record.Dose != Stored.Id)
            {
                throw new ObjectDisposedException(
                    "Dose." + member,
                    "Dose." + member + " was called on a dose that plan " + _plan.Record.Id + " no longer has. Read PlanSetup.Dose again.");
            }
        }
    }

    /// <summary>The dose of a plan.</summary>
    public class PlanningItemDose : Dose
    {
        internal PlanningItemDose(PlanSetup plan) : base(plan)
        {
        }
    }

    /// <summary>The dose of one beam. The physics keeps only the plan's.</summary>
    public class BeamDose : Dose
    {
        internal BeamDose(PlanSetup plan) : base(plan)
        {
        }
    }
}
