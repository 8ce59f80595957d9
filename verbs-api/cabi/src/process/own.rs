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

    /// The value, if this process has made one.
    pub(crate) fn get(&self) -> Option<T>
    where
        T: Clone,
    {
        own(&self.0.lock()).cloned()
    }

    /// The value of this process if it is still `good`, or else a new one.
    pub(crate) fn get_or_make<V, E>(
        &self,
        good: impl FnOnce(&T) -> Option<V>,
        make: impl FnOnce() -> Result<(T, V), E>,
    ) -> Result<V, E> {
        let mut slot = self.0.lock();
        if let Some(found) = own(&slot).and_then(good) {
            return Ok(found);
        }
        let here = std::process::id();
        let (value, made) = make()?;
        if let Some((process, old)) = slot.replace((here, value))
            && process != here
        {
            std::mem::forget(old);
        }
        Ok(made)
    }
}

/// What is in the slot, unless it came there in another process.
fn own<T>(slot: &Option<(u32, T)>) -> Option<&T> {
    slot.as_ref().filter(|(process, _)| *process == std::process::id()).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn get(own: &Own<u32>, good: bool, new: u32) -> u32 {
        own.get_or_make(|value| good.then_some(*value), || Ok::<_, ()>((new, new))).unwrap()
    }

    #[test]
    fn a_value_is_made_once_as_long_as_it_is_good() {
        let own = Own::new();
        assert_eq!(own.get(), None);
        assert_eq!((get(&own, true, 1), get(&own, true, 2)), (1, 1));
        assert_eq!(get(&own, false, 3), 3);
        assert_eq!(own.get(), Some(3));
        assert_eq!(own.get_or_make(|_| None::<u32>, || Err(5)), Err(5));
        assert_eq!(own.get(), Some(3), "what could not be made anew is not lost");
    }

    #[test]
    fn what_came_from_another_process_is_not_used_and_not_dropped() {
        let parents = Arc::new(1);
        let own = Own(Mutex::new(Some((std::process::id() ^ 1, Arc::clone(&parents)))));
        assert!(own.get().is_none());
        let made =
            own.get_or_make(|value| Some(Arc::clone(value)), || Ok::<_, ()>((Arc::new(2), Arc::new(2))));
        assert_eq!(*made.unwrap(), 2);
        assert_eq!(Arc::strong_count(&parents), 2, "it was forgotten");
    }
}
