using System;
using System.Linq;
using VMS.TPS.Common.Model.API;

namespace Beamwright.Emulation
{
    /// <summary>A part of a plan that the database gives no id: objectives, control points, logs. The same rules as for any API object.</summary>
    public abstract class GuardedPart : SerializableObject
    {
        internal readonly PlanSetup Owner;

        internal GuardedPart(PlanSetup owner)
        {
            Owner = owner;
        }

        internal Life Life
        {
            get { return Owner.Life; }
        }

        /// <summary>What has been removed when this part is dead; the plan itself where the part is no record.</summary>
        internal virtual Record Kept
        {
            get { return Owner.Record; }
        }

        internal T Get<T>(string member, Func<T> read)
        {
            Life.Read(Full(member));
            Alive(member);
            return read();
        }

        internal T Call<T>(string member, Func<T> answer)
        {
            Life.Check(Full(member));
            Alive(member);
            return answer();
        }

        internal T Edit<T>(string member, Func<T> write)
        {
            Life.CheckWriting(Full(member));
            Alive(member);
            Owner.RequireEditable(Full(member));
            T result = write();
            Life.Dirty = true;
            return result;
        }

        internal void Set(string member, Action write)
        {
            Edit(member, () =>
            {
                write();
                return true;
            });
        }

        private string Full(string member)
        {
            return GetType().Name + "." + member;
        }

        private void Alive(string member)
        {
            Owner.Alive(member);
            if (new[] { Kept, Owner.Record }.Any(record => record.Removed))
            {
                throw new ObjectDisposedException(Full(member), Full(member) + " was called on what has been removed from plan " + Owner.Record.Id + ".");
            }
        }
    }
}
