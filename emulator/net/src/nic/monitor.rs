//! Letting others of the same user look at a running NIC.
//!
//! A visible NIC listens at a socket `nic-PID-N` in the user's directory. Whoever connects gets one [`Look`] as lines
//! of text, and the connection ends. Until somebody does, a thread sleeps and nothing is done; a look takes the NIC's
//! lock for as long as a snapshot takes, and changes nothing.
//!
//! Who writes a line before closing its own direction asks for a [`Control`]; the look then says what came of it.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ferroce_engine::TraceSink;
use nix::sys::signal::SigSet;

use super::Shared;
use super::core::Core;
use crate::control::{Control, LONGEST};
use crate::error::NetError;
use crate::look::Look;
use crate::share::{Alone, LOOKS, runtime_directory};
use crate::sys::fork;

/// How long one who looks may take to read.
const PATIENCE: Duration = Duration::from_secs(1);

/// NICs of this process that were made visible.
static MADE: AtomicU64 = AtomicU64::new(0);

/// Answers those who look, until it is dropped.
pub(super) struct Monitor {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    /// Which process it runs in.
    born: u32,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Begins to listen.
    pub(super) fn start<T>(shared: &Arc<Shared<T>>) -> Result<Monitor, NetError>
    where
        T: TraceSink + Send + 'static,
    {
        let (listener, path) = listen()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (theirs, shared) = (Arc::clone(&stop), Arc::downgrade(shared));
        let thread = thread::Builder::new().name("ferroce-look".to_owned()).spawn(move || {
            // Signals are for the application's threads.
            SigSet::all().thread_block().ok();
            serve(&listener, &theirs, &shared);
        });
        let thread = thread.map_err(NetError::system("start a thread"))?;
        Ok(Monitor { path, stop, born: fork::generation(), thread: Some(thread) })
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if self.born != fork::generation() {
            // A forked child has no such thread, and the socket is its parent's.
            return std::mem::forget(self.thread.take());
        }
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread. If that fails, nobody can connect any more, and the thread ends with the process.
        let woken = UnixStream::connect(&self.path).is_ok();
        std::fs::remove_file(&self.path).ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            thread.join().ok();
        }
    }
}

/// A socket under a name that no other process has. One in another container may have our number.
fn listen() -> Result<(UnixListener, PathBuf), NetError> {
    let directory = runtime_directory()?;
    let system = NetError::system("listen for those who look");
    let _alone = Alone::wait(&directory).map_err(&system)?;
    loop {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{LOOKS}{}-{number}", std::process::id()));
        match UnixListener::bind(&path) {
            Ok(listener) => return Ok((listener, path)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => continue,
            Err(error) => return Err(system(error)),
        }
    }
}

fn serve<T: TraceSink + 'static>(listener: &UnixListener, stop: &AtomicBool, shared: &Weak<Shared<T>>) {
    while let Ok((mut stream, _)) = listener.accept() {
        let Some(shared) = shared.upgrade().filter(|_| !stop.load(Ordering::Relaxed)) else { return };
        let asked = request(&mut stream);
        let now = shared.clock.now();
        let mut core = shared.core.lock();
        let Core { device, link, .. } = &mut *core;
        let mut apply = |control: Control| control.apply(device, link.as_mut(), now);
        let answer = asked.map(|asked| asked.and_then(&mut apply));
        let (snapshot, link, info) = (core.device.snapshot(), core.link.counters(), core.link.info());
        let addresses = core.device.config().gids.clone();
        drop(core);
        let look = Look { answer, ..Look::new(now, &snapshot, &addresses, &link, &info) };
        stream.set_write_timeout(Some(PATIENCE)).ok();
        // Whoever goes away early misses the rest.
        stream.write_all(look.to_string().as_bytes()).ok();
    }
}

/// What somebody asks for, beyond a look.
fn request(stream: &mut UnixStream) -> Option<Result<Control, String>> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut text = String::new();
    match stream.take(LONGEST).read_to_string(&mut text) {
        Ok(0) => None,
        Ok(_) => Some(Control::parse(&text)),
        Err(error) => Some(Err(format!("the request cannot be read: {error}"))),
    }
}
