//! The NIC behind a device, and the way of its asynchronous events to the contexts they belong to.

use std::collections::HashMap;
use std::ffi::{OsStr, c_uint, c_void};
use std::fs::File;
use std::io::{BufWriter, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use ferroce::Context;
use ferroce_engine::{AsyncEvent, Cq, Dm, Mr, Qpn, Srq};
use ferroce_net::{Format, Nic};
use parking_lot::Mutex;

use super::device::Device;
use super::explain;
use super::settings::Settings;
use crate::border::Errno;
use crate::mailbox::{Mailbox, Source};
use crate::verbs::Domain;

/// A running NIC, shared by all contexts of this process on its device.
pub(crate) struct Engine {
    pub(crate) context: Context,
    /// Protection domains and memory regions that can be imported.
    pub(crate) exported: Exported,
    subjects: Mutex<HashMap<Id, Subject>>,
}

/// Objects by the handles with which other contexts can import them.
#[derive(Default)]
pub(crate) struct Exported {
    pub(crate) pds: Mutex<HashMap<u32, Weak<Domain>>>,
    pub(crate) mrs: Mutex<HashMap<u32, Mr>>,
    pub(crate) dms: Mutex<HashMap<u32, Dm>>,
}

/// What an asynchronous event can be about.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Id {
    Qp(Qpn),
    Cq(Cq),
    Srq(Srq),
}

/// Asynchronous events of a context: which, and about which object.
pub(crate) type AsyncQueue = Mailbox<(usize, c_uint)>;

/// An object of a C program that asynchronous events can be about.
#[derive(Clone)]
pub(crate) struct Subject {
    /// Its pointer.
    pub(crate) element: usize,
    /// The events of its context.
    pub(crate) queue: Arc<AsyncQueue>,
    /// Counts them.
    pub(crate) source: Arc<Source>,
}

impl Subject {
    /// The object at `element`, in the context with this queue.
    pub(crate) fn new<T>(element: *mut T, queue: &Arc<AsyncQueue>, source: &Arc<Source>) -> Subject {
        let element = element.cast::<c_void>() as usize;
        Subject { element, queue: Arc::clone(queue), source: Arc::clone(source) }
    }

    /// Tells the application.
    pub(crate) fn tell(&self, event_type: c_uint) {
        self.queue.post(&self.source, (self.element, event_type));
    }
}

/// `IBV_EVENT_CQ_ERR`.
const CQ_ERR: c_uint = 0;

/// `IBV_EVENT_SRQ_LIMIT_REACHED`.
const SRQ_LIMIT_REACHED: c_uint = 15;

impl Engine {
    pub(super) fn open(device: &Device, settings: &Settings) -> Result<Arc<Engine>, Errno> {
        let mut builder = Nic::builder()
            .visible()
            .name(format!("ferroce{}", device.index))
            .personality(settings.personality.clone())
            .faults(settings.faults)
            .shared_memory(settings.shared_memory);
        for address in &device.addresses {
            builder = builder.address(*address);
        }
        if let Some(path) = &settings.record {
            builder = builder.record_as(Format::of(path), BufWriter::new(capture_file(path)?));
        }
        let nic = builder.open().map_err(|error| {
            explain(format_args!("cannot open ferroce{}: {error}", device.index));
            Errno(libc::ENODEV)
        })?;
        let context = Context::new(nic);
        let engine = Arc::new(Engine { context, exported: Exported::default(), subjects: Mutex::default() });
        let router = Arc::new(Router(Arc::downgrade(&engine)));
        engine.nic().set_async_waker(Some(&Waker::from(router)));
        Ok(engine)
    }

    /// The NIC itself.
    pub(crate) fn nic(&self) -> &Nic {
        self.context.nic()
    }

    /// Events about this object go to its context from now on.
    pub(crate) fn register(&self, id: Id, subject: Subject) {
        self.subjects.lock().insert(id, subject);
    }

    /// There are no more events about this object. Waits until those that the application took are acknowledged.
    pub(crate) fn unregister(&self, id: Id) {
        let subject = self.subjects.lock().remove(&id);
        if let Some(subject) = subject {
            subject.queue.close(&subject.source);
        }
    }

    fn route_events(&self) {
        while let Some(event) = self.nic().poll_async_event() {
            let (id, event_type) = match event {
                AsyncEvent::Qp(qpn, event) => (Id::Qp(qpn), event as c_uint),
                AsyncEvent::CqErr(cq) => (Id::Cq(cq), CQ_ERR),
                AsyncEvent::SrqLimitReached(srq) => (Id::Srq(srq), SRQ_LIMIT_REACHED),
            };
            let subject = self.subjects.lock().get(&id).cloned();
            if let Some(subject) = subject {
                subject.tell(event_type);
            }
        }
    }
}

/// Is woken when there are asynchronous events.
struct Router(Weak<Engine>);

impl Wake for Router {
    fn wake(self: Arc<Self>) {
        if let Some(engine) = self.0.upgrade() {
            engine.route_events();
        }
    }
}

/// A file's name with the number of this process before what it ends in.
fn of_this_process(path: &Path) -> PathBuf {
    let ending = path.extension().map_or("pcap".into(), OsStr::to_string_lossy);
    path.with_extension(format!("{}.{ending}", std::process::id()))
}

/// The file as it is called, or with the process number in its name when another process has made that one.
fn capture_file(path: &Path) -> Result<File, Errno> {
    let create = |path: &Path| File::options().write(true).create_new(true).open(path);
    let opened = create(path).or_else(|error| match error.kind() {
        ErrorKind::AlreadyExists => create(&of_this_process(path)),
        _ => Err(error),
    });
    opened.map_err(|error| {
        explain(format_args!("cannot create the recording {}: {error}", path.display()));
        Errno(libc::ENODEV)
    })
}
