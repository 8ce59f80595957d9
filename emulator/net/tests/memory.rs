//! Regions of all memory of the process: what is mapped is reached, what is not is an error.
#![expect(unsafe_code, reason = "pages are mapped, protected and unmapped")]

use std::ptr::null_mut;

use ferroce_engine::AddressSpace;
use ferroce_net::ThisProcess;

const PAGE: usize = 4096;

/// Pages of which the last is taken away again, and the one before may not be written.
struct Pages(*mut u8);

impl Pages {
    fn new() -> Pages {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new pages, which only this test knows.
        unsafe {
            let start = libc::mmap(null_mut(), 4 * PAGE, protection, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(start.add(2 * PAGE), PAGE, libc::PROT_READ), 0);
            assert_eq!(libc::mprotect(start.add(3 * PAGE), PAGE, libc::PROT_NONE), 0);
            Pages(start.cast())
        }
    }

    fn at(&self, page: usize, offset: usize) -> u64 {
        self.0 as u64 + (page * PAGE + offset) as u64
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the pages that `new` has mapped.
        unsafe { libc::munmap(self.0.cast(), 4 * PAGE) };
    }
}

fn process() -> ThisProcess {
    // SAFETY: the tests write to pages of their own.
    unsafe { ThisProcess::new() }
}

#[test]
fn what_is_there_is_read_and_written_across_pages() {
    let (pages, process) = (Pages::new(), process());
    assert!(process.write(pages.at(0, PAGE - 3), b"across"));
    let mut out = [0; 6];
    assert!(process.read(pages.at(0, PAGE - 3), &mut out));
    assert_eq!(&out, b"across");
}

#[test]
fn what_is_not_there_is_an_error() {
    let (pages, process) = (Pages::new(), process());
    assert!(!process.write(pages.at(2, 0), b"x"), "it may not be written");
    assert!(process.read(pages.at(2, 0), &mut [0]));
    assert!(!process.read(pages.at(2, PAGE - 1), &mut [0; 2]), "the second byte is not there");
    assert!(!process.read(pages.at(3, 0), &mut [0]));
    assert!(!process.read(0, &mut [0]) && !process.write(0, &[0]), "nothing is at address 0");
    assert!(!process.read(u64::MAX, &mut [0]) && !process.write(1 << 63, &[0; 8]));
}

#[test]
fn advice_finds_out_what_is_there() {
    let (pages, process) = (Pages::new(), process());
    assert!(process.prefetch(pages.at(0, 5), 3 * PAGE as u64 - 5, false));
    assert!(process.prefetch(pages.at(0, 5), 2 * PAGE as u64 - 5, true));
    assert!(!process.prefetch(pages.at(0, 5), 3 * PAGE as u64 - 5, true), "one may not be written");
    assert!(!process.prefetch(pages.at(2, 0), PAGE as u64 + 1, false));
    assert!(!process.prefetch(u64::MAX - 10, 20, false));
    assert!(process.prefetch(0, 0, true), "nothing is asked for");
}
