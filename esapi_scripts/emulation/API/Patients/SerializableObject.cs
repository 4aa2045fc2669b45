namespace VMS.TPS.Common.Model.API
{
    /// <summary>Root of the API's classes.</summary>
    public abstract class SerializableObject
    {
    }
}
