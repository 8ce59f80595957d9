//! What a program pays for messages: over TCP, and with verbs.
//!
//! With verbs the time in calls that a program makes (posting and polling) is the program's; what the card does in between,
//! which here is a program as well, is measured apart. Both ends of either are counted.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use ferroce_engine::{Access, Buffer, Cq, MrInit, Payload, QpInit, QpType, RecvWr, SendOp, SendWr, Sge, Wc};
use ferroce_fabric::{Connection, End, Fabric, Link};
use nix::sys::resource::{UsageWho, getrusage};

/// What messages of one size cost, each, both ends together.
#[derive(Clone, Copy, Debug)]
pub struct Price {
    /// Times that a program enters the kernel.
    pub system_calls: f64,
    /// Times that a processor copies the bytes between a program and the kernel.
    pub copies: f64,
    /// Processor time of the programs.
    pub program: Duration,
    /// Of it, in the kernel.
    pub kernel: Duration,
    /// Time of the cards, if cards do the work.
    pub card: Option<Duration>,
}

/// Measures `count` messages of so many bytes over TCP on this computer, each answered by one of the same size if `answers`.
///
/// # Errors
/// When there is no TCP.
pub fn over_tcp(bytes: usize, count: u32, answers: bool) -> io::Result<Price> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        pay(stream, |end| {
            for _ in 0..count {
                end.receive(bytes)?;
                if answers {
                    end.send(bytes)?;
                }
            }
            Ok(())
        })
    });
    let client = pay(TcpStream::connect(address)?, |end| {
        for _ in 0..count {
            end.send(bytes)?;
            if answers {
                end.receive(bytes)?;
            }
        }
        Ok(())
    })?;
    let server = server.join().map_err(|_| io::Error::other("the server panicked"))??;
    let messages = f64::from(count) * if answers { 2.0 } else { 1.0 };
    let each = |time: Duration| time.div_f64(messages);
    Ok(Price {
        system_calls: (client.calls + server.calls) as f64 / messages,
        copies: 2.0,
        program: each(client.program + server.program),
        kernel: each(client.kernel + server.kernel),
        card: None,
    })
}

/// What one end has paid.
struct Paid {
    calls: u64,
    program: Duration,
    kernel: Duration,
}

/// One end of a TCP connection, which counts its calls.
struct Tcp {
    file: File,
    buffer: Vec<u8>,
    calls: u64,
}

impl Tcp {
    fn send(&mut self, bytes: usize) -> io::Result<()> {
        let mut sent = 0;
        while sent < bytes {
            self.calls += 1;
            sent += self.file.write(&self.buffer[sent..bytes])?;
        }
        Ok(())
    }

    fn receive(&mut self, bytes: usize) -> io::Result<()> {
        let mut received = 0;
        while received < bytes {
            self.calls += 1;
            match self.file.read(&mut self.buffer[received..bytes])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => received += more,
            }
        }
        Ok(())
    }
}

/// Does something with one end of a connection, and says what it has cost this thread.
fn pay(stream: TcpStream, work: impl FnOnce(&mut Tcp) -> io::Result<()>) -> io::Result<Paid> {
    stream.set_nodelay(true)?;
    let buffer = vec![0; 1 << 20];
    let mut end = Tcp { file: File::from(OwnedFd::from(stream)), buffer, calls: 0 };
    let before = times()?;
    work(&mut end)?;
    let after = times()?;
    let [user, kernel] = [0, 1].map(|kind| after[kind].saturating_sub(before[kind]));
    Ok(Paid { calls: end.calls, program: user + kernel, kernel })
}

/// Processor time of this thread: its own and the kernel's.
fn times() -> io::Result<[Duration; 2]> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let time = |value: nix::sys::time::TimeVal| {
        Duration::new(value.tv_sec().unsigned_abs(), value.tv_usec().unsigned_abs() as u32 * 1000)
    };
    Ok([time(usage.user_time()), time(usage.system_time())])
}

/// Measures the same with verbs: SENDs of a reliable connection between two cards.
///
/// # Panics
/// When a card does not do what it must.
pub fn with_verbs(bytes: usize, count: u32, answers: bool) -> Price {
    let mut fabric: Fabric<ferroce_engine::NoTrace> = Fabric::new(1);
    fabric.set_links(Link::perfect(Duration::from_micros(1)));
    let ends = ["client", "server"].map(|name| Program::new(&mut fabric, name, bytes));
    let [client, server] = &ends;
    fabric.connect([client.end, server.end], &Connection::default()).expect("two new queue pairs");
    let (mut program, begin) = (Duration::ZERO, Instant::now());
    for _ in 0..count {
        program += server.receive(&mut fabric);
        program += client.send(&mut fabric, server);
        if answers {
            program += client.receive(&mut fabric);
            program += server.send(&mut fabric, client);
        }
    }
    let messages = f64::from(count) * if answers { 2.0 } else { 1.0 };
    let card = begin.elapsed().saturating_sub(program).div_f64(messages);
    let program = program.div_f64(messages);
    Price { system_calls: 0.0, copies: 0.0, program, kernel: Duration::ZERO, card: Some(card) }
}

/// A program with a card.
struct Program {
    end: End,
    cq: Cq,
    memory: Sge,
}

impl Program {
    fn new(fabric: &mut Fabric<ferroce_engine::NoTrace>, name: &str, bytes: usize) -> Program {
        let host = fabric.add_host(name);
        let made = fabric.with(host, |device, _| {
            let pd = device.alloc_pd()?;
            let cq = device.create_cq(64)?;
            let buffer = Buffer::new(bytes);
            let mr = device.reg_mr(pd, MrInit::new(&buffer, Access::LOCAL_WRITE))?;
            let init = QpInit { signal_all: true, ..QpInit::new(QpType::Rc, pd, cq) };
            let qp = device.create_qp(&init)?;
            let memory = Sge { addr: buffer.addr(), len: bytes as u32, lkey: mr.lkey };
            Ok::<_, ferroce_engine::VerbsError>(Program { end: End { host, qp }, cq, memory })
        });
        made.expect("a new device has room")
    }

    /// Posts a receive; how long the program was in the call.
    fn receive(&self, fabric: &mut Fabric<ferroce_engine::NoTrace>) -> Duration {
        fabric.with(self.end.host, |device, now| {
            let begin = Instant::now();
            device
                .post_recv(now, self.end.qp, &[RecvWr { wr_id: 1, sges: &[self.memory] }])
                .expect("there is room");
            begin.elapsed()
        })
    }

    /// Posts a message, and polls until both programs have their completions.
    fn send(&self, fabric: &mut Fabric<ferroce_engine::NoTrace>, to: &Program) -> Duration {
        let posting = fabric.with(self.end.host, |device, now| {
            let (begin, list) = (Instant::now(), [self.memory]);
            let wr = SendWr::new(2, SendOp::Send, Payload::Sges(&list));
            device.post_send(now, self.end.qp, &[wr]).expect("there is room");
            begin.elapsed()
        });
        while fabric.next_moment().is_some_and(|_| fabric.step()) {}
        posting + self.poll(fabric) + to.poll(fabric)
    }

    fn poll(&self, fabric: &mut Fabric<ferroce_engine::NoTrace>) -> Duration {
        fabric.with(self.end.host, |device, _| {
            let (begin, mut wc) = (Instant::now(), [Wc::default()]);
            assert_eq!(device.poll_cq(self.cq, &mut wc), Ok(1), "the message has arrived");
            begin.elapsed()
        })
    }
}
