namespace VMS.TPS.Common.Model.Types
{
    /// <summary>The machine, energy and technique of a new beam.</summary>
    public class ExternalBeamMachineParameters
    {
        public ExternalBeamMachineParameters(string machineId, string energyModeId, int doseRate, string techniqueId, string primaryFluenceModeId)
        {
            MachineId = machineId;
            EnergyModeId = energyModeId;
            DoseRate = doseRate;
            TechniqueId = techniqueId;
            PrimaryFluenceModeId = primaryFluenceModeId;
        }

        public string MachineId { get; set; }
        public string EnergyModeId { get; set; }
        public int DoseRate { get; set; }
        public string TechniqueId { get; set; }
        public string PrimaryFluenceModeId { get; set; }
        public string MLCId { get; set; }
    }
}
