using System;
using System.Collections.Generic;
using System.Linq;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>A photon plan of external beams. Its calculations are in ExternalPlanSetup.Calculations.cs.</summary>
    public partial class ExternalPlanSetup : PlanSetup
    {
        private const string Static = "STATIC";
        private const string Arc = "ARC";

        internal ExternalPlanSetup(Life life, CourseRecord course, PlanRecord record) : base(life, course, record)
        {
        }

        public Beam AddStaticBeam(
            ExternalBeamMachineParameters machineParameters, VRect<double> jawPositions, double collimatorAngle,
            double gantryAngle, double patientSupportAngle, VVector isocenter)
        {
            return AddBeam("AddStaticBeam", () => Field(machineParameters, Static, jawPositions, collimatorAngle, gantryAngle, patientSupportAngle, isocenter));
        }

        public Beam AddMLCBeam(
            ExternalBeamMachineParameters machineParameters, float[,] leafPositions, VRect<double> jawPositions,
            double collimatorAngle, double gantryAngle, double patientSupportAngle, VVector isocenter)
        {
            return AddBeam("AddMLCBeam", () =>
            {
                BeamParameters.CheckLeaves(leafPositions);
                return WithLeaves(Field(machineParameters, Static, jawPositions, collimatorAngle, gantryAngle, patientSupportAngle, isocenter));
            });
        }

        public Beam AddSlidingWindowBeam(
            ExternalBeamMachineParameters machineParameters, IEnumerable<double> metersetWeights, double collimatorAngle,
            double gantryAngle, double patientSupportAngle, VVector isocenter)
        {
            return AddBeam("AddSlidingWindowBeam", () =>
                Dynamic(Field(machineParameters, Static, Usual, collimatorAngle, gantryAngle, patientSupportAngle, isocenter), metersetWeights));
        }

        public Beam AddMultipleStaticSegmentBeam(
            ExternalBeamMachineParameters machineParameters, IEnumerable<double> metersetWeights, double collimatorAngle,
            double gantryAngle, double patientSupportAngle, VVector isocenter)
        {
            return AddBeam("AddMultipleStaticSegmentBeam", () =>
                Dynamic(Field(machineParameters, Static, Usual, collimatorAngle, gantryAngle, patientSupportAngle, isocenter), metersetWeights));
        }

        public Beam AddArcBeam(
            ExternalBeamMachineParameters machineParameters, VRect<double> jawPositions, double collimatorAngle,
            double gantryAngle, double gantryStop, GantryDirection gantryDirection, double patientSupportAngle,
            VVector isocenter)
        {
            return AddBeam("AddArcBeam", () => Turned(
                Field(machineParameters, Arc, jawPositions, collimatorAngle, gantryAngle, patientSupportAngle, isocenter), gantryStop, gantryDirection));
        }

        public Beam AddMLCArcBeam(
            ExternalBeamMachineParameters machineParameters, float[,] leafPositions, VRect<double> jawPositions,
            double collimatorAngle, double gantryAngle, double gantryStop, GantryDirection gantryDirection,
            double patientSupportAngle, VVector isocenter)
        {
            return AddBeam("AddMLCArcBeam", () =>
            {
                BeamParameters.CheckLeaves(leafPositions);
                BeamRecord beam = Field(machineParameters, Arc, jawPositions, collimatorAngle, gantryAngle, patientSupportAngle, isocenter);
                return WithLeaves(Turned(beam, gantryStop, gantryDirection));
            });
        }

        public Beam AddConformalArcBeam(
            ExternalBeamMachineParameters machineParameters, double collimatorAngle, int controlPointCount,
            double gantryAngle, double gantryStop, GantryDirection gantryDirection, double patientSupportAngle,
            VVector isocenter)
        {
            return AddBeam("AddConformalArcBeam", () =>
            {
                BeamRecord beam = Field(machineParameters, Arc, Usual, collimatorAngle, gantryAngle, patientSupportAngle, isocenter);
                beam.ControlPoints = (int)Amounts.Within(controlPointCount, 2, 500, "controlPointCount");
                return WithLeaves(Turned(beam, gantryStop, gantryDirection));
            });
        }

        public Beam AddVMATBeam(
            ExternalBeamMachineParameters machineParameters, IEnumerable<double> metersetWeights, double collimatorAngle,
            double gantryAngle, double gantryStop, GantryDirection gantryDirection, double patientSupportAngle,
            VVector isocenter)
        {
            return AddBeam("AddVMATBeam", () =>
            {
                BeamRecord beam = Field(machineParameters, Arc, Usual, collimatorAngle, gantryAngle, patientSupportAngle, isocenter);
                beam.ControlPoints = Weights(metersetWeights);
                return WithLeaves(Turned(beam, gantryStop, gantryDirection));
            });
        }

#if ESAPI18
        public Beam AddSetupBeam(
            ExternalBeamMachineParameters machineParameters, VRect<double> jawPositions, double collimatorAngle,
            double gantryAngle, double patientSupportAngle, VVector isocenter)
        {
            return AddBeam("AddSetupBeam", () =>
            {
                BeamRecord beam = Field(machineParameters, Static, jawPositions, collimatorAngle, gantryAngle, patientSupportAngle, isocenter);
                beam.Setup = true;
                return beam;
            });
        }

#endif
        public void RemoveBeam(Beam beam)
        {
            Change("RemoveBeam", () =>
            {
                if (beam == null || !Record.Beams.Remove(beam.Record))
                {
                    throw new ArgumentException("The beam is not one of plan " + Record.Id + ".", "beam");
                }
                beam.Record.Removed = true;
                DropCalculations();
            });
        }

        /// <summary>The models that the site offers for a kind of calculation; none for a kind that it does not have.</summary>
        public IEnumerable<string> GetModelsForCalculationType(CalculationType calculationType)
        {
            return Call("GetModelsForCalculationType", () => Offered(calculationType).ToList());
        }

        /// <summary>Jaws of a beam that is added without any, mm.</summary>
        private static VRect<double> Usual
        {
            get { return new VRect<double>(-50, -50, 50, 50); }
        }

        private Beam AddBeam(string member, Func<BeamRecord> make)
        {
            return Alter(member, () =>
            {
                BeamRecord made = make();
                Record.Beams.Add(made);
                if (!made.Setup)
                {
                    DropCalculations();
                }
                return new Beam(this, made);
            });
        }

        private BeamRecord Field(
            ExternalBeamMachineParameters on, string technique, VRect<double> jaws, double collimator, double gantry, double
            couch, VVector isocentre)
        {
            RequireMachine(on, technique);
            Settings site = Life.Settings;
            return new BeamRecord
            {
                Id = Ids.Free("Field ", site.MaxBeamId, Record.Beams.Select(beam => beam.Id)),
                Number = Record.Beams.Select(beam => beam.Number).DefaultIfEmpty(0).Max() + 1,
                Machine = on.MachineId,
                Energy = on.EnergyModeId,
                DoseRate = on.DoseRate,
                Technique = technique,
                GantryDeg = Angles.Gantry(site, Amounts.Within(gantry, 0, 360, "gantryAngle")),
                CollimatorDeg = Angles.Collimator(site, Amounts.Within(collimator, 0, 360, "collimatorAngle")),
                CouchDeg = Angles.Couch(site, Amounts.Within(couch, 0, 360, "patientSupportAngle")),
                Isocentre = Vectors.To(isocentre).Select(mm => Amounts.Within(mm, -10000, 10000, "isocenter")).ToArray(),
                Jaws = BeamParameters.Jaws(jaws),
                ControlPoints = 2,
            };
        }

        private BeamRecord WithLeaves(BeamRecord beam)
        {
            beam.Mlc = Life.Settings.Machines[beam.Machine].Mlc;
            return beam;
        }

        private BeamRecord Dynamic(BeamRecord beam, IEnumerable<double> metersetWeights)
        {
            Weights(metersetWeights);
            return WithLeaves(beam);
        }

        private BeamRecord Turned(BeamRecord beam, double gantryStop, GantryDirection direction)
        {
            if (direction == GantryDirection.None)
            {
                throw new ArgumentException("An arc turns clockwise or counter-clockwise.", "gantryDirection");
            }
            beam.GantryStopDeg = Angles.Gantry(Life.Settings, Amounts.Within(gantryStop, 0, 360, "gantryStop"));
            Arcs.Turn(beam, direction);
            return beam;
        }

        private static int Weights(IEnumerable<double> metersetWeights)
        {
            double[] weights = (metersetWeights ?? new double[0]).ToArray();
            bool rising = weights.Zip(weights.Skip(1), (before, after) => before <= after).All(fine => fine);
            if (weights.Length < 2 || weights.First() != 0 || weights.Last() != 1 || !rising)
            {
                throw new ArgumentException("Meterset weights rise from 0 to 1 over at least two control points.", "metersetWeights");
            }
            return weights.Length;
        }

        private void RequireMachine(ExternalBeamMachineParameters on, string technique)
        {
            if (on == null)
            {
                throw new ArgumentNullException("machineParameters");
            }
            Settings site = Life.Settings;
            RequireKnown("treatment unit", on.MachineId, site.Machines.Keys);
            RequireKnown("energy of " + on.MachineId, on.EnergyModeId, site.Machines[on.MachineId].Energies);
            RequireKnown("dose rate", on.DoseRate.ToString(), site.DoseRates.Select(rate => rate.ToString()));
            RequireKnown("technique", on.TechniqueId, new[] { technique });
            RequireKnown("primary fluence mode", on.PrimaryFluenceModeId ?? "", new[] { "" });
        }

        private static void RequireKnown(string what, string given, IEnumerable<string> known)
        {
            if (!known.Contains(given))
            {
                string offered = string.Join(", ", known.Select(one => "\"" + one + "\""));
                throw new ArgumentException("There is no " + what + " \"" + given + "\"; there is: " + offered + ".", "machineParameters");
            }
        }
    }
}
