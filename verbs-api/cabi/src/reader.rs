//! The thread that reads events and may be on its way back for the next one when what it reads is destroyed.
//!
//! Many programs have a thread that takes events for ever and is never joined. Acknowledging the last event lets the
//! main thread go on, which destroys the channel and ends the program, whether or not the other thread sleeps in the
//! channel again by then. With the kernel's channels it nearly always does, because destroying takes long; here it is
//! given that time.

use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

/// Who took the last event and has not asked for another.
#[derive(Default)]
pub(crate) struct Reader {
    /// The thread's number; 0 for nobody.
    away: AtomicI32,
}

impl Reader {
    /// This thread asks for an event.
    pub(crate) fn asks(&self) {
        self.away.compare_exchange(own_number(), 0, Ordering::AcqRel, Ordering::Relaxed).ok();
    }

    /// This thread has been given an event.
    pub(crate) fn took(&self) {
        self.away.store(own_number(), Ordering::Release);
    }

    /// Gives another thread that took the last event the time to ask for the next, as long as it lives and `patience`
    /// has any left.
    pub(crate) fn await_return(&self, mut patience: impl FnMut() -> bool) {
        loop {
            let away = self.away.load(Ordering::Acquire);
            if away == 0 || away == own_number() || !is_alive(away) || !patience() {
                return;
            }
        }
    }
}

/// How often a thread that does not come back is looked for.
const LOOKS: u32 = 100;

/// Sleeps a millisecond, [`LOOKS`] times. A thread that has other things to do delays a destruction by so much, once.
pub(crate) fn a_moment() -> impl FnMut() -> bool {
    let mut left = LOOKS;
    move || {
        thread::sleep(Duration::from_millis(1));
        left -= 1;
        left > 0
    }
}

fn own_number() -> i32 {
    // SAFETY: no pointers are involved.
    unsafe { libc::gettid() }
}

/// Whether this process has such a thread.
fn is_alive(thread: i32) -> bool {
    // SAFETY: no pointers are involved, and signal 0 is only asked about.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn never() -> bool {
        panic!("nobody is to be waited for");
    }

    #[test]
    fn nobody_waits_for_itself_nor_for_threads_that_ask_again_or_have_ended() {
        let reader = Reader::default();
        reader.await_return(never);
        reader.took();
        reader.await_return(never);
        thread::scope(|scope| {
            let asking_again = scope.spawn(|| {
                reader.took();
                reader.asks();
            });
            asking_again.join().unwrap();
            reader.await_return(never);
            let number = scope.spawn(|| {
                reader.took();
                own_number()
            });
            let number = number.join().unwrap();
            // A thread is joined a moment before the kernel has forgotten it.
            while is_alive(number) {
                thread::yield_now();
            }
            reader.await_return(never);
        });
    }

    #[test]
    fn a_thread_on_its_way_back_is_waited_for_but_not_for_ever() {
        let reader = Reader::default();
        thread::scope(|scope| {
            let ((took, taken), (go, going)) = (channel(), channel());
            let reading = scope.spawn({
                let reader = &reader;
                move || {
                    reader.took();
                    took.send(()).unwrap();
                    going.recv().unwrap();
                    reader.asks();
                }
            });
            taken.recv().unwrap();
            let mut looks = 0;
            reader.await_return(|| {
                looks += 1;
                looks < 3
            });
            assert_eq!(looks, 3);
            let mut held = true;
            reader.await_return(|| {
                if std::mem::take(&mut held) {
                    go.send(()).unwrap();
                }
                thread::yield_now();
                true
            });
            assert!(!held && reader.away.load(Ordering::Acquire) == 0);
            reading.join().unwrap();
        });
    }
}
