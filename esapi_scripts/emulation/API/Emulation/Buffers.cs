using System;

namespace Beamwright.Emulation
{
    /// <summary>The rules for the buffers that GetVoxels fills: int[XSize, YSize], one plane at a time.</summary>
    internal static class Buffers
    {
        /// <summary>Fills the buffer with value(x, y), or complains of its size or of the plane.</summary>
        public static void Fill(Life life, int[,] buffer, int[] size, int planeIndex, Func<int, int, int> value)
        {
            if (planeIndex < 0 || planeIndex >= size[2])
            {
                throw new ArgumentOutOfRangeException(
                    "planeIndex", "There is no plane " + planeIndex + "; the planes are 0 to " + (size[2] - 1) + ".");
            }
            if (buffer == null)
            {
                throw new ArgumentNullException("preallocatedBuffer");
            }
            if (!life.Settings.Switches.BufferIgnored && (buffer.GetLength(0) != size[0] || buffer.GetLength(1) != size[1]))
            {
                throw new ArgumentException(
                    "The buffer is " + buffer.GetLength(0) + " x " + buffer.GetLength(1) + "; it must be " + size[0] + " x " + size[1] + ".");
            }
            int columns = Math.Min(size[0], buffer.GetLength(0));
            int rows = Math.Min(size[1], buffer.GetLength(1));
            for (int x = 0; x < columns; x++)
            {
                for (int y = 0; y < rows; y++)
                {
                    buffer[x, y] = value(x, y);
                }
            }
        }
    }
}
