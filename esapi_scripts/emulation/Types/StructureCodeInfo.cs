namespace VMS.TPS.Common.Model.Types
{
    /// <summary>A structure's code in a coding scheme.</summary>
    public struct StructureCodeInfo
    {
        private readonly string _codingScheme;
        private readonly string _code;

        public StructureCodeInfo(string codingScheme, string code)
        {
            _codingScheme = codingScheme;
            _code = code;
        }

        public string CodingScheme
        {
            get { return _codingScheme; }
        }

        public string Code
        {
            get { return _code; }
        }
    }
}
