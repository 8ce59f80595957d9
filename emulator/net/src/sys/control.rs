//! Control messages: what travels beside a datagram (cmsg(3)).

/// Bytes of a `cmsghdr`: a length of pointer size, a level and a type.
const HEADER: usize = size_of::<libc::cmsghdr>();
/// To a multiple of this every message is padded.
const ALIGN: usize = size_of::<usize>();

/// A buffer of control messages, to be sent or received.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct Control {
    bytes: [u8; Control::ROOM],
    len: usize,
}

impl Control {
    /// Enough for five messages of one word each, and more than any socket here asks for.
    pub(super) const ROOM: usize = 128;

    /// No messages.
    pub(crate) const EMPTY: Control = Control { bytes: [0; Control::ROOM], len: 0 };

    /// Adds a message. There must be room.
    pub(crate) fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        let len = HEADER + data.len();
        let message = &mut self.bytes[self.len..self.len + len.next_multiple_of(ALIGN)];
        message[..HEADER - 8].copy_from_slice(&len.to_ne_bytes());
        message[HEADER - 8..HEADER - 4].copy_from_slice(&level.to_ne_bytes());
        message[HEADER - 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
        message[HEADER..len].copy_from_slice(data);
        self.len += len.next_multiple_of(ALIGN);
    }

    /// The messages: level, type, data.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i32, i32, &[u8])> {
        let mut rest = &self.bytes[..self.len];
        std::iter::from_fn(move || {
            let (header, _) = rest.split_at_checked(HEADER)?;
            let (len, kind) = header.split_at(HEADER - 8);
            let len = usize::from_ne_bytes(len.try_into().ok()?);
            let level = i32::from_ne_bytes(kind[..4].try_into().ok()?);
            let kind = i32::from_ne_bytes(kind[4..].try_into().ok()?);
            let data = rest.get(HEADER..len)?;
            rest = rest.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
            Some((level, kind, data))
        })
    }

    pub(super) fn as_ptr(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.len = len.min(Control::ROOM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written() {
        let mut control = Control::EMPTY;
        control.push(17, 103, &1000_u16.to_ne_bytes());
        control.push(0, 1, &[1, 2, 3, 4]);
        let messages: Vec<_> = control.iter().collect();
        assert_eq!(messages, [(17, 103, &1000_u16.to_ne_bytes()[..]), (0, 1, &[1, 2, 3, 4][..])]);
    }

    #[test]
    fn a_length_that_lies_ends_the_iteration() {
        let mut control = Control::EMPTY;
        control.push(0, 1, &[1]);
        control.bytes[..HEADER - 8].copy_from_slice(&usize::MAX.to_ne_bytes());
        assert_eq!(control.iter().count(), 0);
        control.bytes[..HEADER - 8].copy_from_slice(&0_usize.to_ne_bytes());
        assert_eq!(control.iter().count(), 0);
    }
}
