//! A queue of packets in shared memory, from one writer to one reader, without locks.
//!
//! ```text
//!   0      a page of words, each in a cache line of its own
//!   4096   records, one after the other, around and around: 64 bytes about the packets, then the packets
//! ```
//!
//! Bytes up to `TAIL` were written, bytes up to `HEAD` were read; both only grow. Each side keeps its own count to
//! itself and believes nothing that it reads: the memory belongs to another process too, which may have written
//! anything there.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{Ordering, fence};

use crate::sys::SharedMemory;

/// Bytes of the records. A page more is mapped.
pub(super) const CAPACITY: usize = 1 << 19;
const RECORDS: usize = 4096;
const LEN: usize = RECORDS + CAPACITY;

/// Places of the words.
const TAIL: usize = 0;
const HEAD: usize = 128;
/// 1 once the reader has the memory.
const OPEN: usize = 256;
/// 1 while the reader sleeps, or is about to.
const ASLEEP: usize = 384;

/// Bytes before the packets of a record, and the alignment of records.
pub(super) const HEADER: usize = 64;
/// Most bytes of packets in a record.
pub(super) const LONGEST: usize = 1 << 16;

/// Where the header has the length of what follows.
const LENGTH_AT: usize = HEADER - 4;

/// The reader or the writer at the other side breaks the rules.
#[derive(Debug)]
pub(super) struct Broken;

/// The writer's side.
pub(super) struct Producer {
    memory: SharedMemory,
    tail: u64,
    /// As last seen.
    head: u64,
}

/// The reader's side.
pub(super) struct Consumer {
    memory: SharedMemory,
    head: u64,
    /// The writer has broken the rules.
    broken: bool,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Done,
    /// There is no room now.
    Full,
}

impl Producer {
    /// A new queue, and what its reader maps.
    pub(super) fn create() -> io::Result<(Producer, OwnedFd)> {
        let (memory, fd) = SharedMemory::create(LEN)?;
        Ok((Producer { memory, tail: 0, head: 0 }, fd))
    }

    /// Whether there is a reader.
    pub(super) fn is_open(&self) -> bool {
        self.memory.word(OPEN).load(Ordering::Acquire) == 1
    }

    /// Adds a record. The last four bytes of the header are not the caller's.
    pub(super) fn push(&mut self, mut header: [u8; HEADER], bytes: &[u8]) -> Result<Pushed, Broken> {
        let need = record(bytes.len());
        if self.room()? < need {
            self.head = self.memory.word(HEAD).load(Ordering::Acquire);
            if self.room()? < need {
                return Ok(Pushed::Full);
            }
        }
        header[LENGTH_AT..].copy_from_slice(&(bytes.len() as u32).to_ne_bytes());
        self.memory.write(place(self.tail), &header);
        let (first, second) = split(self.tail + HEADER as u64, bytes.len());
        self.memory.write(first, &bytes[..second]);
        if second < bytes.len() {
            self.memory.write(RECORDS, &bytes[second..]);
        }
        self.tail += need as u64;
        self.memory.word(TAIL).store(self.tail, Ordering::Release);
        Ok(Pushed::Done)
    }

    /// Whether the reader must be woken for what was added. True once for each time that it falls asleep.
    pub(super) fn must_wake(&self) -> bool {
        // The reader says that it sleeps, then looks for records; we added some, and look now whether it sleeps. One
        // of the two sees the other.
        fence(Ordering::SeqCst);
        let asleep = self.memory.word(ASLEEP);
        asleep.load(Ordering::Relaxed) != 0 && asleep.swap(0, Ordering::AcqRel) != 0
    }

    fn room(&self) -> Result<usize, Broken> {
        let used = self.tail.checked_sub(self.head).filter(|used| *used <= CAPACITY as u64).ok_or(Broken)?;
        Ok(CAPACITY - used as usize)
    }
}

impl Consumer {
    /// Maps a queue that another process has made.
    pub(super) fn open(fd: OwnedFd) -> io::Result<Consumer> {
        let memory = SharedMemory::open(fd, LEN)?;
        // Whoever waits for packets does not know of this queue yet.
        memory.word(ASLEEP).store(1, Ordering::Relaxed);
        memory.word(OPEN).store(1, Ordering::Release);
        Ok(Consumer { memory, head: 0, broken: false })
    }

    /// The writer has broken the rules, and nothing more comes of it.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// There is something to take.
    pub(super) fn has_records(&self) -> bool {
        !self.broken && self.waiting() > 0
    }

    /// Takes the oldest record, if there is one: its packets go to the beginning of `out`, which has room for
    /// [`LONGEST`] bytes. Gives its header, and how many bytes they are.
    pub(super) fn pop(&mut self, out: &mut [u8]) -> Result<Option<([u8; HEADER], usize)>, Broken> {
        let there = self.waiting();
        if there == 0 {
            return Ok(None);
        }
        let mut header = [0; HEADER];
        self.memory.read(place(self.head), &mut header);
        let [.., a, b, c, d] = header;
        let len = u32::from_ne_bytes([a, b, c, d]) as usize;
        if there > CAPACITY as u64 || len > LONGEST || record(len) as u64 > there {
            self.broken = true;
            return Err(Broken);
        }
        let (first, second) = split(self.head + HEADER as u64, len);
        self.memory.read(first, &mut out[..second]);
        if second < len {
            self.memory.read(RECORDS, &mut out[second..len]);
        }
        self.head += record(len) as u64;
        self.memory.word(HEAD).store(self.head, Ordering::Release);
        Ok(Some((header, len)))
    }

    /// Bytes of records that wait.
    fn waiting(&self) -> u64 {
        // What goes backwards is as far off as can be, which `pop` finds too much.
        self.memory.word(TAIL).load(Ordering::Acquire).wrapping_sub(self.head)
    }

    /// From now on the writer must wake us, unless there is something already: then this gives false.
    pub(super) fn fall_asleep(&self) -> bool {
        if self.broken {
            return true;
        }
        self.memory.word(ASLEEP).store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.waiting() == 0
    }
}

/// Bytes of a record with so many bytes of packets.
fn record(len: usize) -> usize {
    (HEADER + len).next_multiple_of(HEADER)
}

/// Where a byte lies in the memory. Headers never wrap around, because the capacity is a multiple of theirs.
fn place(at: u64) -> usize {
    RECORDS + (at % CAPACITY as u64) as usize
}

/// Where `len` bytes begin, and how many of them lie before the end of the memory. The others lie at its beginning.
fn split(at: u64, len: usize) -> (usize, usize) {
    let start = place(at);
    (start, len.min(LEN - start))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring() -> (Producer, Consumer) {
        let (producer, fd) = Producer::create().unwrap();
        assert!(!producer.is_open());
        let consumer = Consumer::open(fd).unwrap();
        assert!(producer.is_open());
        (producer, consumer)
    }

    #[test]
    fn records_come_out_as_they_went_in_however_often_the_memory_is_used() {
        let (mut producer, mut consumer) = ring();
        let mut out = vec![0; LONGEST];
        let (mut pushed, mut popped) = (0_u64, 0_u64);
        let len_of = |number: u64| (number.wrapping_mul(7919) % LONGEST as u64) as usize;
        while popped < 200 {
            let mut header = [0; HEADER];
            header[..8].copy_from_slice(&pushed.to_ne_bytes());
            let bytes = vec![pushed as u8; len_of(pushed)];
            if producer.push(header, &bytes).unwrap() == Pushed::Done {
                pushed += 1;
                continue;
            }
            while let Some((header, len)) = consumer.pop(&mut out).unwrap() {
                assert_eq!(header[..8], popped.to_ne_bytes());
                assert_eq!(len, len_of(popped));
                assert!(out[..len].iter().all(|byte| *byte == popped as u8));
                popped += 1;
            }
        }
        assert!(pushed * LONGEST as u64 / 2 > 4 * CAPACITY as u64, "it went around");
    }

    #[test]
    fn who_sleeps_is_woken_once_and_nobody_sleeps_while_something_waits() {
        let (mut producer, mut consumer) = ring();
        assert!(producer.must_wake(), "who has just opened it does not look yet");
        assert!(!producer.must_wake(), "the reader is awake");
        assert!(consumer.fall_asleep());
        producer.push([0; HEADER], b"packet").unwrap();
        assert!(producer.must_wake());
        assert!(!producer.must_wake(), "once");
        assert!(!consumer.fall_asleep(), "there is a packet");
        consumer.pop(&mut [0; LONGEST]).unwrap().unwrap();
        assert!(consumer.fall_asleep());
    }

    proptest! {
        #[test]
        fn whatever_a_writer_leaves_behind_the_reader_survives(
            words in prop::collection::vec((0_usize..64, any::<u64>()), 0..16),
            tail in prop_oneof![any::<u64>(), 0..2 * CAPACITY as u64],
            garbage in prop::collection::vec(any::<u8>(), 0..512),
        ) {
            let (producer, mut consumer) = ring();
            producer.memory.write(RECORDS, &garbage);
            for (word, value) in words {
                producer.memory.word(8 * word).store(value, Ordering::Release);
            }
            producer.memory.word(TAIL).store(tail, Ordering::Release);
            let mut out = vec![0; LONGEST];
            let mut records = 0;
            while let Ok(Some((_, len))) = consumer.pop(&mut out) {
                prop_assert!(len <= LONGEST);
                records += 1;
                prop_assert!(records <= 2 * CAPACITY / HEADER);
            }
        }

        #[test]
        fn whatever_a_reader_leaves_behind_the_writer_survives(head in any::<u64>(), count in 1_usize..20) {
            let (mut producer, _consumer) = ring();
            producer.memory.word(HEAD).store(head, Ordering::Release);
            for _ in 0..count {
                if producer.push([0; HEADER], &[7; LONGEST]).is_err() {
                    break;
                }
            }
        }
    }
}
