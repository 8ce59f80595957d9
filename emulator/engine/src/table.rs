//! Tables with handles that notice when they are stale.

use core::marker::PhantomData;

/// A handle of a `T` in a device: an index and the generation of what was stored there.
///
/// A handle that outlives its object finds nothing, even after the slot was used again.
pub struct Id<T> {
    index: u32,
    generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// Names nothing, ever.
    pub const NONE: Id<T> = Id { index: u32::MAX, generation: u32::MAX, of: PhantomData };

    /// A number of 24 bits: 16 that name the object among those of its kind, if there are no more than that, and
    /// 8 that change with each use of them.
    pub(crate) const fn number(self) -> u32 {
        (self.generation & 0xff) << 16 | self.index & 0xffff
    }

    /// A number that names the object among all live ones of its kind.
    pub const fn index(self) -> u32 {
        self.index
    }
}

// Written out because deriving would ask for `T: Copy` and so on.
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.index, self.generation) == (other.index, other.generation)
    }
}
impl<T> Eq for Id<T> {}
impl<T> core::hash::Hash for Id<T> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (self.index, self.generation).hash(state);
    }
}
impl<T> core::fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "#{}.{}", self.index, self.generation)
    }
}

/// As index and generation.
#[cfg(feature = "serde")]
impl<T> serde::Serialize for Id<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.index, self.generation).serialize(serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de, T> serde::Deserialize<'de> for Id<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (index, generation) = serde::Deserialize::deserialize(deserializer)?;
        Ok(Id { index, generation, of: PhantomData })
    }
}

#[derive(Clone, Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// A slab: constant-time insert, look-up and remove, at most `limit` live objects.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    limit: usize,
}

impl<T> Table<T> {
    pub(crate) fn new(limit: usize) -> Table<T> {
        Table { slots: Vec::new(), free: Vec::new(), limit }
    }

    /// Stores `value`; `None` when the table is full.
    pub(crate) fn insert(&mut self, value: T) -> Option<Id<T>> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < self.limit => {
                self.slots.push(Slot { generation: 0, value: None });
                (self.slots.len() - 1) as u32
            }
            None => return None,
        };
        let slot = &mut self.slots[index as usize];
        slot.value = Some(value);
        Some(Id { index, generation: slot.generation, of: PhantomData })
    }

    pub(crate) fn get(&self, id: Id<T>) -> Option<&T> {
        let slot = self.slots.get(id.index as usize)?;
        if slot.generation == id.generation { slot.value.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation { slot.value.as_mut() } else { None }
    }

    /// The live object with this [number](Id::number).
    pub(crate) fn by_number(&self, number: u32) -> Option<(Id<T>, &T)> {
        let index = number & 0xffff;
        let slot = self.slots.get(index as usize)?;
        let id = Id { index, generation: slot.generation, of: PhantomData };
        slot.value.as_ref().filter(|_| id.number() == number).map(|value| (id, value))
    }

    pub(crate) fn remove(&mut self, id: Id<T>) -> Option<T> {
        self.get(id)?;
        let slot = &mut self.slots[id.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        slot.value.take()
    }

    /// Live objects in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let id = Id { index: index as u32, generation: slot.generation, of: PhantomData };
            slot.value.as_ref().map(|value| (id, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_handle_finds_nothing_even_after_reuse() {
        let mut table = Table::new(1);
        let first = table.insert('a').unwrap();
        assert_eq!(table.insert('b'), None, "full");
        assert_eq!(table.remove(first), Some('a'));
        let second = table.insert('c').unwrap();
        assert_eq!(first.index(), second.index(), "the slot is used again");
        assert_eq!(table.get(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get(second), Some(&'c'));
        assert_eq!(table.iter().count(), 1);
    }

    #[test]
    fn numbers_are_not_given_twice_in_a_row() {
        let mut table = Table::new(1);
        let old = table.insert('a').unwrap();
        assert_eq!(table.by_number(old.number()), Some((old, &'a')));
        table.remove(old);
        let new = table.insert('b').unwrap();
        assert_eq!(table.by_number(old.number()), None);
        assert_eq!(table.by_number(new.number()), Some((new, &'b')));
        assert_eq!(table.get(Id::NONE), None);
    }
}
