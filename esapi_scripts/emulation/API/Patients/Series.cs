using System.Collections.Generic;
using Beamwright.Emulation;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>The series of the planning CT; it goes by its image's id.</summary>
    public class Series : ApiDataObject
    {
        private readonly ImageRecord _image;

        internal Series(Life life, ImageRecord image) : base(life, image)
        {
            _image = image;
        }

        public IEnumerable<Image> Images
        {
            get { return Get("Images", () => new List<Image> { new Image(Life, _image) }); }
        }

        public SeriesModality Modality
        {
            get { return Get("Modality", () => SeriesModality.CT); }
        }

        public string FOR
        {
            get { return Get("FOR", () => new Image(Life, _image).FOR); }
        }

        public string UID
        {
            get { return Get("UID", () => Life.Record.Id + "." + _image.Id + ".series"); }
        }
    }
}
