namespace VMS.TPS.Common.Model.API
{
    /// <summary>The entry of an executable script, which has a name for the log.</summary>
    public static class CustomScriptExecutable
    {
        public static Application CreateApplication(string scriptName)
        {
            return Application.CreateApplication();
        }
    }
}
