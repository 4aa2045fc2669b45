using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;

namespace Beamwright.Emulation
{
    /// <summary>A dose of the physics, raw (before normalisation) and as stored in whole numbers. Immutable; the last few are kept.</summary>
    internal sealed class DoseRecord : Record
    {
        /// <summary>The stored number of the hottest voxel, without offset.</summary>
        private const double Hottest = 50000.0;

        private const int Keep = 3;
        private static readonly ConditionalWeakTable<Life, List<DoseRecord>> Known = new ConditionalWeakTable<Life, List<DoseRecord>>();

        public readonly int[] Size;
        public readonly double[] Res;
        public readonly double[] Origin;
        public readonly double[][] Directions;
        public readonly double MaxGy;
        public readonly double[] MaxPosition;

        private readonly Physics _physics;
        private float[] _gy;

        private DoseRecord(Physics physics, string handle)
        {
            Id = handle;
            _physics = physics;
            IDictionary<string, object> info = physics.Ask("dose_info", Named(handle)).Header;
            Size = Json.Wholes(info["size"]);
            Res = Json.Numbers(info["res"]);
            Origin = Json.Numbers(info["origin"]);
            Directions = new[] { "x_direction", "y_direction", "z_direction" }.Select(key => Json.Numbers(info[key])).ToArray();
            MaxGy = info.Number("max_gy");
            MaxPosition = Json.Numbers(info["max_position"]);
        }

        /// <summary>Raw Gy of one step of the stored numbers.</summary>
        public double StepGy
        {
            get { return MaxGy > 0 ? MaxGy / Hottest : 1.0; }
        }

        /// <summary>Changes whenever the dose does.</summary>
        public string Uid
        {
            get
            {
                using (MD5 digest = MD5.Create())
                {
                    byte[] hash = digest.ComputeHash(Encoding.UTF8.GetBytes(Id));
                    return "2.25." + (BitConverter.ToUInt64(hash, 0) | 1) + BitConverter.ToUInt64(hash, 8);
                }
            }
        }

        public static DoseRecord Of(Life life, string handle)
        {
            List<DoseRecord> known = Known.GetOrCreateValue(life);
            DoseRecord dose = known.Find(one => one.Id == handle);
            if (dose == null)
            {
                dose = new DoseRecord(life.Physics, handle);
                known.Add(dose);
                known.RemoveRange(0, Math.Max(0, known.Count - Keep));
            }
            return dose;
        }

        /// <summary>Fills buffer[x, y] with the stored numbers of a plane, in the image's own order.</summary>
        public void Fill(int[,] buffer, int plane, double offset)
        {
            float[] gy = Voxels();
            double step = StepGy;
            int wide = Math.Min(buffer.GetLength(0), Size[0]);
            int high = Math.Min(buffer.GetLength(1), Size[1]);
            for (int x = 0; x < wide; x++)
            {
                int at = plane * Size[1] * Size[0] + x;
                for (int y = 0; y < high; y++, at += Size[0])
                {
                    buffer[x, y] = (int)Math.Floor(gy[at] / step + offset + 0.5);
                }
            }
        }

        private float[] Voxels()
        {
            if (_gy == null)
            {
                byte[] blob = _physics.Ask("dose_voxels", Named(Id)).Blob;
                var gy = new float[Size[0] * Size[1] * Size[2]];
                if (blob.Length != gy.Length * sizeof(float))
                {
                    throw new PhysicsException("Failed", "The physics sent " + blob.Length + " bytes for a dose of " + gy.Length + " voxels.");
                }
                Buffer.BlockCopy(blob, 0, gy, 0, blob.Length);
                _gy = gy;
            }
            return _gy;
        }

        private static Dictionary<string, object> Named(string handle)
        {
            return new Dictionary<string, object> { { "dose", handle } };
        }
    }
}
