//! The driver of soft-RoCE in a guest, which is there from the start.

use anyhow::Result;

use super::guest::Guest;

impl Guest {
    /// Takes soft-RoCE and its device away. While it is loaded, nothing else can have UDP port 4791.
    ///
    /// # Errors
    /// When a program still has the device open, or the guest does not answer.
    pub fn unload_soft_roce(&self) -> Result<()> {
        self.check("rdma link delete rxe0 && rmmod rdma_rxe").map(drop)
    }

    /// Brings both back.
    ///
    /// # Errors
    /// When something has UDP port 4791, or the guest does not answer.
    pub fn load_soft_roce(&self) -> Result<()> {
        let modules = self.kernel.root();
        let load =
            format!("modprobe -d {} rdma_rxe && rdma link add rxe0 type rxe netdev eth0", modules.display());
        self.check(&load).map(drop)
    }
}
