//! What a process has to make itself, even if the process that it was forked from has made it already.

use parking_lot::Mutex;

/// A value that belongs to the process that made it.
///
/// The memory of a forked child has a copy of all that its parent had. NICs in it are cut off from the network, and
/// everything that leads to them is of no use. The copy is forgotten, not dropped: C programs may have pointers
/// into it, and close in the child what they opened in the parent.
pub(crate) struct Own<T>(Mutex<Option<(u32, T)>>);

impl<T> Own<T> {
    pub(crate) const fn new() -> Own<T> {
        Own(Mutex::new(None))
    }

    /// The value of this process if it is still `good`, or else a new one.
    pub(crate) fn get_or_make<V, E>(
        &self,
        good: impl FnOnce(&T) -> Option<V>,
        make: impl FnOnce() -> Result<(T, V), E>,
    ) -> Result<V, E> {
        let here = std::process::id();
        let mut slot = self.0.lock();
        if let Some((process, value)) = &*slot
            && *process == here
            && let Some(found) = good(value)
        {
            return Ok(found);
        }
        let (value, made) = make()?;
        if let Some((process, old)) = slot.replace((here, value))
            && process != here
        {
            std::mem::forget(old);
        }
        Ok(made)
    }
}
