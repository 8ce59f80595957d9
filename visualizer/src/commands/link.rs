//! The option of all commands that open a NIC: how it is attached to a network.

use ferroce::Attachment;

#[derive(Debug, clap::Args)]
pub(crate) struct LinkArgs {
    /// Attach the NIC with udp:ADDRESS, tap:NAME,ADDRESS/LENGTH or raw:INTERFACE,ADDRESS/LENGTH
    ///
    /// udp: shares an address of this machine with the kernel, on UDP port 4791, and needs no privilege. tap: makes
    /// the NIC a machine of its own at the other end of the TAP interface NAME, which is made if it is not there
    /// (CAP_NET_ADMIN). raw: makes it one beside the kernel on a network interface (CAP_NET_RAW). LENGTH is that of
    /// the network's prefix, as in 10.0.0.2/24. More addresses and settings follow with commas: via=ROUTER,
    /// mac=ADDRESS (raw: also mac=host), vlan=ID, pcp=PRIORITY, tap: mtu=BYTES. 'ferroce devices' tells what this
    /// machine allows.
    #[arg(long, value_name = "LINK")]
    pub(crate) link: Option<Attachment>,
}
