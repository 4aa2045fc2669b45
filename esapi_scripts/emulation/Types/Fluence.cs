namespace VMS.TPS.Common.Model.Types
{
    /// <summary>An optimal fluence of a beam.</summary>
    public sealed class Fluence
    {
        private readonly float[,] _pixels;

        public Fluence(float[,] fluenceMatrix, double xOrigin, double yOrigin) : this(fluenceMatrix, xOrigin, yOrigin, "")
        {
        }

        public Fluence(float[,] fluenceMatrix, double xOrigin, double yOrigin, string mlcId)
        {
            _pixels = (float[,])fluenceMatrix.Clone();
            XOrigin = xOrigin;
            YOrigin = yOrigin;
            MLCId = mlcId;
        }

        public double XOrigin { get; private set; }
        public double YOrigin { get; private set; }
        public string MLCId { get; set; }

        public int XSizePixel
        {
            get { return _pixels.GetLength(1); }
        }

        public int YSizePixel
        {
            get { return _pixels.GetLength(0); }
        }

        public float[,] GetPixels()
        {
            return (float[,])_pixels.Clone();
        }
    }
}
