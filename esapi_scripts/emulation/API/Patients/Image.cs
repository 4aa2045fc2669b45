using System;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>The planning CT, in its own order of voxels.</summary>
    public class Image : ApiDataObject
    {
        /// <summary>Stored voxel values are HU plus this.</summary>
        private const int StoredAboveHu = 1024;

        private readonly ImageRecord _row;

        internal Image(Life life, ImageRecord row) : base(life, row)
        {
            _row = row;
        }

        public new string Id
        {
            get { return base.Id; }
            set { Set("Id", () => Rename(value)); }
        }

        public VVector Origin
        {
            get { return Get("Origin", () => Grid.Origin(Life.Settings, _row.Origin, _row.Res, Directions())); }
        }

        public VVector XDirection
        {
            get { return Get("XDirection", () => Vectors.From(_row.XDirection)); }
        }

        public VVector YDirection
        {
            get { return Get("YDirection", () => Vectors.From(_row.YDirection)); }
        }

        public VVector ZDirection
        {
            get { return Get("ZDirection", () => Vectors.From(_row.ZDirection)); }
        }

        public double XRes
        {
            get { return Get("XRes", () => _row.Res[0]); }
        }

        public double YRes
        {
            get { return Get("YRes", () => _row.Res[1]); }
        }

        public double ZRes
        {
            get { return Get("ZRes", () => _row.Res[2]); }
        }

        public int XSize
        {
            get { return Get("XSize", () => _row.Size[0]); }
        }

        public int YSize
        {
            get { return Get("YSize", () => _row.Size[1]); }
        }

        public int ZSize
        {
            get { return Get("ZSize", () => _row.Size[2]); }
        }

        public string FOR
        {
            get { return Get("FOR", () => "2.25.1." + Math.Abs((long)Life.Record.Id.GetHashCode())); }
        }

        public Series Series
        {
            get { return Get("Series", () => new Series(Life, _row)); }
        }

        public PatientOrientation ImagingOrientation
        {
            get { return Get("ImagingOrientation", () => (PatientOrientation)Enum.Parse(typeof(PatientOrientation), Life.Record.Orientation)); }
        }

        public string DisplayUnit
        {
            get { return Get("DisplayUnit", () => "HU"); }
        }

        public int Level
        {
            get { return Get("Level", () => 40); }
        }

        public int Window
        {
            get { return Get("Window", () => 400); }
        }

        public bool HasUserOrigin
        {
            get { return Get("HasUserOrigin", () => _row.UserOrigin != null); }
        }

        public VVector UserOrigin
        {
            get { return Get("UserOrigin", UserOriginOrZero); }
            set { Set("UserOrigin", () => _row.UserOrigin = Vectors.To(value)); }
        }

#if ESAPI18
        public SeriesModality Modality
        {
            get { return Get("Modality", () => SeriesModality.CT); }
        }

        public string UID
        {
            get { return Get("UID", () => Life.Record.Id + "." + _row.Id); }
        }
#endif

        /// <summary>Fills an int[XSize, YSize] with the stored values of one plane.</summary>
        public void GetVoxels(int planeIndex, int[,] preallocatedBuffer)
        {
            Call("GetVoxels", () =>
            {
                short[] hu = Voxels();
                int width = _row.Size[0];
                int first = planeIndex * width * _row.Size[1];
                Buffers.Fill(Life, preallocatedBuffer, _row.Size, planeIndex, (x, y) => hu[first + y * width + x] + StoredAboveHu);
                return true;
            });
        }

        public double VoxelToDisplayValue(int voxelValue)
        {
            return Call("VoxelToDisplayValue", () => (double)(voxelValue - StoredAboveHu));
        }

        public VVector UserToDicom(VVector user, PlanSetup planSetup)
        {
            return Call("UserToDicom", () => user + UserOriginOrZero());
        }

        public VVector DicomToUser(VVector dicom, PlanSetup planSetup)
        {
            return Call("DicomToUser", () => dicom - UserOriginOrZero());
        }

        public StructureSet CreateNewStructureSet()
        {
            return Edit("CreateNewStructureSet", () =>
            {
                var set = new StructureSetRecord
                {
                    Id = Ids.Free("StructureSet", Life.Settings.MaxStructureId, Life.Record.StructureSets.ConvertAll(item => item.Id)),
                    Image = _row.Id,
                };
                Life.Record.StructureSets.Add(set);
                return new StructureSet(Life, set);
            });
        }

        private VVector UserOriginOrZero()
        {
            return _row.UserOrigin == null ? new VVector() : Vectors.From(_row.UserOrigin);
        }

        private VVector[] Directions()
        {
            return new[] { Vectors.From(_row.XDirection), Vectors.From(_row.YDirection), Vectors.From(_row.ZDirection) };
        }

        private void Rename(string wanted)
        {
            string id = Ids.Checked(Life, "image", wanted, Life.Settings.MaxStructureId, new string[0]);
            foreach (StructureSetRecord set in Life.Record.StructureSets.FindAll(item => item.Image == _row.Id))
            {
                set.Image = id;
            }
            _row.Id = id;
        }

        private short[] Voxels()
        {
            object known;
            if (!Life.Cache.TryGetValue("voxels", out known))
            {
                byte[] blob = Life.Physics.Ask(
                    "image", new System.Collections.Generic.Dictionary<string, object> { { "patient", Life.Record.Id } }).Blob;
                var hu = new short[blob.Length / 2];
                Buffer.BlockCopy(blob, 0, hu, 0, blob.Length);
                known = hu;
                Life.Cache["voxels"] = known;
            }
            return (short[])known;
        }
    }
}
