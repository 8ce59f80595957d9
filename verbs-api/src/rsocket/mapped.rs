//! Memory that the peer of a socket may write to.

use ferroce_engine::{Access, Region};

use crate::memory::{MemoryRegion, ProtectionDomain};

use super::SocketError;
use super::format::Target;
use super::socket::Socket;

/// Own memory that the peer was told of.
pub(super) struct Mapped {
    /// The entry of the peer's table.
    index: usize,
    offset: u64,
    /// Ends the registration when it goes.
    _memory: Box<dyn Send>,
}

impl Socket {
    /// The domain of memory that can be mapped, once there is a connection.
    ///
    /// # Errors
    /// When there is none.
    pub fn protection_domain(&self) -> Result<ProtectionDomain, SocketError> {
        let inner = self.inner.lock();
        inner.stream.as_ref().map(|stream| stream.domain().clone()).ok_or(SocketError::NotConnected)
    }

    /// Lets the peer write to memory, at `offset` and further (`riomap`); `None` takes the memory's own address for
    /// an offset. Gives the offset. The memory must be of this [domain](Self::protection_domain), with
    /// [`Access::REMOTE_WRITE`](crate::Access::REMOTE_WRITE).
    ///
    /// # Errors
    /// [`SocketError::NoRoom`] when the peer has set no room aside ([`Options::mappings`](super::Options::mappings)).
    pub fn map(&self, memory: MemoryRegion, offset: Option<u64>) -> Result<u64, SocketError> {
        let offset = offset.unwrap_or(memory.addr());
        let target = Target { addr: memory.addr(), key: memory.rkey(), len: memory.len() as u32 };
        self.tell_of(offset, target, Box::new(memory))?;
        Ok(offset)
    }

    /// The same for memory of any kind, which is registered for it and stands under its own address.
    ///
    /// # Errors
    /// As for [`map`](Self::map), and when there is no connection or it cannot be registered.
    pub fn map_region(&self, region: Region, offset: Option<u64>) -> Result<u64, SocketError> {
        let (addr, len) = (region.addr(), region.len() as u32);
        let offset = offset.unwrap_or(addr);
        let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE;
        let memory = self.protection_domain()?.register_region(region, addr, access);
        let memory = memory.map_err(|_| SocketError::Io)?;
        let target = Target { addr, key: memory.rkey(), len };
        self.tell_of(offset, target, Box::new(memory))?;
        Ok(offset)
    }

    fn tell_of(&self, offset: u64, target: Target, memory: Box<dyn Send>) -> Result<(), SocketError> {
        let index = self.until(|_, inner| match inner.open_stream() {
            Ok(Some(stream)) => match (stream.can_send(), stream.writable) {
                (true, _) => Some(stream.map(offset, target)),
                (false, true) => None,
                (false, false) => Some(Err(SocketError::Reset)),
            },
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        })?;
        self.inner.lock().mapped.push(Mapped { index, offset, _memory: memory });
        Ok(())
    }

    /// Takes memory back that was mapped (`riounmap`): the peer can no longer write to it.
    ///
    /// # Errors
    /// When nothing was mapped at this offset.
    pub fn unmap(&self, offset: u64) -> Result<(), SocketError> {
        let mut inner = self.inner.lock();
        let found = inner.mapped.iter().position(|mapped| mapped.offset == offset);
        let mapped = inner.mapped.remove(found.ok_or(SocketError::NotMapped)?);
        if let Some(stream) = &mut inner.stream {
            stream.unmap(mapped.index);
        }
        Ok(())
    }

    /// Writes to memory that the peer has mapped (`riowrite`), and says how much.
    ///
    /// # Errors
    /// [`SocketError::NotMapped`] when there is nothing at the offset, and as for [`send`](Self::send).
    pub fn write_mapped(&self, data: &[u8], offset: u64) -> Result<usize, SocketError> {
        let (mut done, nonblocking) = (0, self.inner.lock().nonblocking);
        let written = self.until(|_, inner| {
            let stream = match inner.open_stream() {
                Ok(Some(stream)) => stream,
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            };
            loop {
                if done == data.len() {
                    return Some(Ok(()));
                }
                match stream.write_mapped(&data[done..], offset.wrapping_add(done as u64)) {
                    None => return Some(Err(SocketError::NotMapped)),
                    Some(Err(error)) => return Some(Err(error)),
                    Some(Ok(0)) if !stream.writable => return Some(Err(SocketError::Reset)),
                    Some(Ok(0)) if nonblocking && done > 0 => return Some(Ok(())),
                    Some(Ok(0)) => return None,
                    Some(Ok(count)) => done += count,
                }
            }
        });
        match written {
            Err(error) if done == 0 => Err(error),
            _ => Ok(done),
        }
    }
}
