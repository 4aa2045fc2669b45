using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    public abstract partial class PlanSetup
    {
        public string PhotonCalculationModel
        {
            get { return Get("PhotonCalculationModel", () => Model(CalculationType.PhotonVolumeDose)); }
        }

        public Dictionary<string, string> PhotonCalculationOptions
        {
            get { return Get("PhotonCalculationOptions", () => OptionsOf(Model(CalculationType.PhotonVolumeDose))); }
        }

        /// <summary>The chosen model, or an empty string (?).</summary>
        public string GetCalculationModel(CalculationType calculationType)
        {
            return Call("GetCalculationModel", () => Model(calculationType));
        }

        public void SetCalculationModel(CalculationType calculationType, string model)
        {
            Change("SetCalculationModel", () =>
            {
                if (!Offered(calculationType).Contains(model))
                {
                    throw new ArgumentException(
                        "There is no model " + model + " for " + calculationType + "; there are: " + string.Join(", ", Offered(calculationType)) + ".", "model");
                }
                UseModel(calculationType, model);
            });
        }

        public void ClearCalculationModel(CalculationType calculationType)
        {
            Change("ClearCalculationModel", () => UseModel(calculationType, ""));
        }

        /// <summary>The options of a model; empty for one that the system does not have.</summary>
        public Dictionary<string, string> GetCalculationOptions(string calculationModel)
        {
            return Call("GetCalculationOptions", () => OptionsOf(calculationModel));
        }

        public bool GetCalculationOption(string calculationModel, string optionName, out string optionValue)
        {
            Dictionary<string, string> options = Call("GetCalculationOption", () => OptionsOf(calculationModel));
            return options.TryGetValue(optionName ?? "", out optionValue);
        }

        /// <summary>False, and nothing changed, for an unknown model, an unknown option, or a value that cannot be.</summary>
        public bool SetCalculationOption(string calculationModel, string optionName, string optionValue)
        {
            return Alter("SetCalculationOption", () =>
            {
                Dictionary<string, string> before = OptionsOf(calculationModel);
                if (!before.ContainsKey(optionName ?? "") || !GridCanBe(optionValue))
                {
                    return false;
                }
                if (before[optionName] != optionValue && calculationModel == Model(CalculationType.PhotonVolumeDose))
                {
                    DropDose();
                }
                Kept(calculationModel)[optionName] = optionValue;
                return true;
            });
        }

        /// <summary>The models that the site offers; none for a kind of calculation that it does not have.</summary>
        internal List<string> Offered(CalculationType calculationType)
        {
            List<string> models;
            return Life.Settings.Models.TryGetValue(calculationType.ToString(), out models) ? models : new List<string>();
        }

        internal string Model(CalculationType calculationType)
        {
            string model;
            return Record.Models.TryGetValue(calculationType.ToString(), out model) ? model : "";
        }

        private void UseModel(CalculationType calculationType, string model)
        {
            if (calculationType == CalculationType.PhotonVolumeDose && Model(calculationType) != model)
            {
                DropDose();
            }
            Record.Models.Remove(calculationType.ToString());
            if (model != "")
            {
                Record.Models[calculationType.ToString()] = model;
            }
        }

        /// <summary>The only option of an emulated model is a dose model's grid; until it is set it is the image's voxel.</summary>
        private Dictionary<string, string> OptionsOf(string model)
        {
            var options = new Dictionary<string, string>();
            string gridOption;
            if (Life.Settings.GridOption.TryGetValue(model ?? "", out gridOption))
            {
                string value;
                options[gridOption] = Stored(model).TryGetValue(gridOption, out value) ? value : Centimetres(Life.Record.Image.Res[0]);
            }
            return options;
        }

        private Dictionary<string, string> Stored(string model)
        {
            Dictionary<string, string> stored;
            return Record.Options.TryGetValue(model, out stored) ? stored : new Dictionary<string, string>();
        }

        private Dictionary<string, string> Kept(string model)
        {
            if (!Record.Options.ContainsKey(model))
            {
                Record.Options[model] = new Dictionary<string, string>();
            }
            return Record.Options[model];
        }

        private static string Centimetres(double mm)
        {
            return (mm / 10.0).ToString("0.####", CultureInfo.InvariantCulture);
        }

        private static bool GridCanBe(string value)
        {
            double cm;
            return double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out cm) && cm >= 0.1 && cm <= 1.0;
        }
    }
}
