//! `ferroce explain`: what is in a capture and what went wrong in it.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;

use ferroce_visualizer::explain::{
    ConnectionReport, Death, Decoded, Duration, EndReport, Finding, IcrcCheck, OpenError, Report, Severity,
    Trail, explain_with_trail,
};
use ferroce_visualizer::ladder::{self, Ladder, Strokes};

use super::Outcome;
use crate::failure::Failure;
use crate::text::{BAD, FAINT, GOOD, STRONG, WARN, count, is_unicode, thousands, width, wrap};

/// Explain a capture: who talked to whom, whether every ICRC is right, and what went wrong
///
/// Reads pcap and pcapng files with RoCEv2 traffic (UDP port 4791). Every packet is decoded and its ICRC
/// verified, packets are put together to connections and messages, and whatever was lost, repeated, refused
/// or never answered is told with the numbers of the packets that show it. Packets are numbered from 1, as in
/// Wireshark.
///
/// Traffic that is not RoCEv2 is counted and left alone. A damaged or truncated file is explained as far as
/// it can be read. The exit code is 0 if the file could be read, whatever is in it, and 2 if not.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Capture the traffic of a soft-RoCE or hardware port, then explain it
    tcpdump -i eth0 -w roce.pcap udp port 4791
    ferroce explain roce.pcap

  List every packet first
    ferroce explain --packets roce.pcap | less

  Count the findings of each kind
    ferroce explain --json roce.pcap | jq -r '.findings[].kind' | sort | uniq -c

  See the packets of a connection go to and fro, also as a picture
    ferroce explain --ladder --connection 2 roce.pcap
    ferroce explain --svg roce.svg roce.pcap

  From a remote machine, without a file
    ssh HOST tcpdump -i eth0 -w - -c 1000 udp port 4791 | ferroce explain -

Findings, by what they are about:
  psn.*          packets missing, late, seen before; PSNs that start anew
  nak.*          the responder says that packets were lost; or says it wrongly
  read.*         packets of a READ response are missing, or it is too short
  rtx.nak        sent again because a NAK asked for it
  rtx.timeout    sent again because no answer came
  rtx.tail-loss  sent again because the end of a burst, or the answer to it, was lost
  rtx.spurious   sent again although it had been acknowledged
  rtx.rnr        sent again because the receiver had not been ready
  rtx.read       sent again because READ responses were lost
  rtx.storm      the same packet sent four times or more
  gbn.*          sent again from another PSN than the NAK asked for
  rnr.*          the receiver had no receive posted
  ack.*, msn.*   acknowledgements that are late, or say what cannot be
  mem.access     refused: R_Key, rights or range; the connection is over
  op.*, atomic.* refused, failed, or carried out twice
  gid.*, mtu.*, pkey.*, qkey.*  the two ends do not agree
  req.*, cm.*    nobody answered, or a connection request was rejected
  ecn.*, ecmp.*  congestion, and what was done about it
  cnp.*, pfc.*   senders that do not slow down, ports that stop others
  wire.*         packets damaged on the way, or not packets at all
  cap.*, file.*  about the capture, not about the traffic
")]
pub(crate) struct Args {
    /// The capture, pcap or pcapng; '-' reads standard input
    file: PathBuf,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,

    /// List the packets, one line each, before the summary
    #[arg(long, conflicts_with = "json")]
    packets: bool,

    /// Draw the packets of one connection as a ladder, and nothing else
    #[arg(long, conflicts_with_all = ["json", "packets"])]
    ladder: bool,

    /// Draw the same as a picture into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// The connection to draw, as numbered in the summary [default: the one with the most findings]
    #[arg(long, value_name = "N")]
    connection: Option<usize>,

    /// Print or draw at most N packets and N findings [default: all packets, 200 drawn, 20 findings]
    #[arg(long, value_name = "N", conflicts_with = "json")]
    limit: Option<usize>,
}

/// Findings printed unless the user asks for another number.
const FINDINGS_PRINTED: usize = 20;

/// Packets drawn unless the user asks for another number.
const PACKETS_DRAWN: usize = 200;

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    let name = args.file.display();
    let mut out = BufWriter::new(anstream::stdout().lock());
    let input: Box<dyn Read> = if args.file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        let next = "check the name; 'ferroce explain --help' shows examples";
        let open = || File::open(&args.file).map_err(|error| (error, next));
        let file = open().map_err(|(e, next)| Failure::new(format_args!("cannot open {name}: {e}"), next))?;
        Box::new(BufReader::new(file))
    };

    let mut listing = Listing { left: args.limit.unwrap_or(usize::MAX), start: None, result: Ok(()) };
    let report = explain_with_trail(input, &mut |number, time, decoded| {
        if args.packets {
            listing.packet(&mut out, number, time, decoded);
        }
    });
    listing.result?;
    let (report, trail) = report.map_err(|error| {
        let next = match error {
            OpenError::Io(_) => "check that this is a file that you may read",
            OpenError::Compressed(_) if args.file.extension().is_some_and(|end| end == "frec") => {
                "this is a recording: 'ferroce replay FILE' shows it, and panel 8 says why a queue pair died"
            }
            OpenError::Compressed(_) => "gunzip or unzstd it, or pipe it: 'zcat FILE | ferroce explain -'",
            OpenError::TooShort | OpenError::Unknown(_) => {
                "make a capture with 'tcpdump -i DEVICE -w FILE.pcap udp port 4791' or with Wireshark"
            }
        };
        Failure::new(format_args!("cannot explain {name}: {error}"), next)
    })?;

    if let Some(file) = &args.svg {
        let title = format!("{name}, connection {}", args.chosen(&report)?);
        let picture = ladder::svg(&args.draw(&report, &trail)?, &title);
        let advice = "choose a file that you may write";
        std::fs::write(file, picture)
            .map_err(|e| Failure::new(format_args!("cannot write {}: {e}", file.display()), advice))?;
    }
    if args.ladder {
        let strokes = if is_unicode() { Strokes::UNICODE } else { Strokes::ASCII };
        for line in ladder::lines(&args.draw(&report, &trail)?, width(), &strokes) {
            writeln!(out, "{line}")?;
        }
    } else if args.json {
        serde_json::to_writer_pretty(&mut out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        if args.packets {
            writeln!(out)?;
        }
        print_report(&mut out, &name.to_string(), &report, args.limit.unwrap_or(FINDINGS_PRINTED))?;
    }
    out.flush()?;
    Ok(Outcome::Done)
}

impl Args {
    /// The connection to draw.
    fn chosen(&self, report: &Report) -> Result<usize, Failure> {
        let none =
            || Failure::new("there is no connection to draw", "'ferroce explain FILE' says what there is");
        let chosen = self.connection.or_else(|| Ladder::most_eventful(report)).ok_or_else(none)?;
        let known = report.connections.iter().any(|connection| connection.id == chosen);
        let unknown = format_args!("there is no connection {chosen}").to_string();
        known.then_some(chosen).ok_or_else(|| Failure::new(unknown, "'ferroce explain FILE' lists them"))
    }

    fn draw(&self, report: &Report, trail: &Trail) -> Result<Ladder, Failure> {
        let chosen = self.chosen(report)?;
        let ladder = Ladder::of_capture(report, trail, chosen, self.limit.unwrap_or(PACKETS_DRAWN));
        ladder.ok_or_else(|| Failure::new("there is no such connection", "'ferroce explain FILE' lists them"))
    }
}

/// The list of packets, printed while they are read.
struct Listing {
    left: usize,
    start: Option<u64>,
    result: io::Result<()>,
}

impl Listing {
    fn packet(&mut self, out: &mut impl Write, number: u64, time: Option<u64>, decoded: &Decoded<'_>) {
        if self.left == 0 || self.result.is_err() {
            return;
        }
        self.left -= 1;
        let start = self.start.or(time);
        self.start = start;
        let elapsed = time.zip(start).map_or(0, |(time, start)| time.saturating_sub(start));
        self.result = print_packet(out, number, elapsed, decoded);
    }
}

fn print_packet(out: &mut impl Write, number: u64, elapsed: u64, decoded: &Decoded<'_>) -> io::Result<()> {
    write!(out, "{number:>6} {:>4}.{:06} ", elapsed / 1_000_000_000, elapsed / 1000 % 1_000_000)?;
    match decoded {
        Decoded::Roce(s) => {
            write!(out, "{} > {} {STRONG}{}{STRONG:#}", s.src, s.dst, s.opcode())?;
            // The one-line form begins with the opcode that has just been written.
            let line = s.headers.to_string();
            write!(out, "{}", line.strip_prefix(s.opcode().name()).unwrap_or(&line))?;
            if s.payload_len > 0 {
                write!(out, " len={}", s.payload_len)?;
            }
            match s.check {
                IcrcCheck::Right => writeln!(out),
                IcrcCheck::Unchecked => writeln!(out, " {FAINT}[cut by the capture]{FAINT:#}"),
                IcrcCheck::RxeFlush => writeln!(out, " {WARN}[ICRC wrong as soft-RoCE has it]{WARN:#}"),
                IcrcCheck::Wrong { .. } => writeln!(out, " {BAD}[ICRC wrong]{BAD:#}"),
            }
        }
        Decoded::Undecodable(reason) => writeln!(out, "{BAD}undecodable: {reason}{BAD:#}"),
        Decoded::Fragment => writeln!(out, "{BAD}IP fragment{BAD:#}"),
        Decoded::RoceV1 => writeln!(out, "{FAINT}RoCE version 1{FAINT:#}"),
        Decoded::Pause(_) => writeln!(out, "{WARN}pause frame{WARN:#}"),
        Decoded::UnknownLink(link) => writeln!(out, "{WARN}link type {link} is unknown{WARN:#}"),
        Decoded::Other => writeln!(out, "{FAINT}not RoCE{FAINT:#}"),
    }
}

fn print_report(out: &mut impl Write, name: &str, report: &Report, limit: usize) -> io::Result<()> {
    let span = match report.duration_ns {
        0 => String::new(),
        nanos => format!(" in {}", Duration(nanos)),
    };
    writeln!(out, "{STRONG}{name}{STRONG:#}: {}, {}{span}", report.format, count(report.packets, "packet"))?;
    writeln!(out)?;
    print_counts(out, report)?;
    if !report.connections.is_empty() {
        writeln!(out, "\n{STRONG}Connections{STRONG:#}")?;
        for connection in report.connections.iter().take(limit.max(FINDINGS_PRINTED)) {
            print_connection(out, connection)?;
        }
        let hidden = report.connections.len().saturating_sub(limit.max(FINDINGS_PRINTED));
        if hidden > 0 {
            writeln!(
                out,
                "  {FAINT}... and {hidden} more; --limit {} shows all{FAINT:#}",
                report.connections.len()
            )?;
        }
    }
    writeln!(out)?;
    print_findings(out, report, limit)?;
    report.deaths.iter().take(limit).try_for_each(|death| print_death(out, death))
}

fn print_counts(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let rows = [
        ("RoCEv2", report.roce, ""),
        ("ICRC right", report.icrc_ok, ""),
        ("ICRC wrong", report.icrc_bad, ""),
        ("ICRC unknown", report.icrc_unchecked, "cut by the capture"),
        ("undecodable", report.undecodable, "to port 4791, but no packets"),
        ("other traffic", report.other, "not explained"),
    ];
    for (label, n, remark) in rows.into_iter().filter(|(label, n, _)| *n > 0 || *label == "RoCEv2") {
        write!(out, "  {label:<20}{:>8}", thousands(n))?;
        if !remark.is_empty() {
            write!(out, "  {FAINT}{remark}{FAINT:#}")?;
        }
        writeln!(out)?;
    }
    if !report.opcodes.is_empty() {
        writeln!(out, "\n{STRONG}Opcodes{STRONG:#}")?;
        let cells = report.opcodes.iter().map(|(name, n)| format!("{name:<21}{:>7}", thousands(*n)));
        let cells: Vec<String> = cells.collect();
        let columns = (width().saturating_sub(2) / 32).max(1);
        let rows = cells.len().div_ceil(columns);
        for row in 0..rows {
            let line: Vec<&str> = cells.iter().skip(row).step_by(rows).map(String::as_str).collect();
            writeln!(out, "  {}", line.join("    "))?;
        }
    }
    Ok(())
}

fn print_connection(out: &mut impl Write, connection: &ConnectionReport) -> io::Result<()> {
    let [one, other] = &connection.ends;
    let arrow = match (one.packets, other.packets) {
        (_, 0) => "-->",
        (0, _) => "<--",
        _ => "<->",
    };
    let (service, id) = (connection.service, connection.id);
    writeln!(out, "{STRONG}{id:>4}  {service:<3}{STRONG:#} {} {arrow} {}", place(one), place(other))?;
    let mut facts = Vec::new();
    if service == "UD" && other.qpn == Some(1) {
        facts.push("connection management".to_owned());
    }
    facts.push(format!("packets {} to {}", connection.first_packet, connection.last_packet));
    facts.extend(connection.mtu.map(|mtu| format!("path MTU {mtu}")));
    if connection.paired_by.is_none() && (one.packets == 0 || other.packets == 0) {
        facts.push("only one direction seen".to_owned());
    }
    if connection.congested > 0 {
        facts.push(format!("{} met congestion", count(connection.congested, "packet")));
    }
    writeln!(out, "          {FAINT}{}{FAINT:#}", facts.join(", "))?;
    for end in &connection.ends {
        for (operation, total) in &end.operations {
            let bytes =
                if total.bytes > 0 { format!(", {}", count(total.bytes, "byte")) } else { String::new() };
            let address = end.address;
            writeln!(out, "          {address} {} {operation}{bytes}", thousands(total.messages))?;
        }
        if end.resent > 0 {
            let (resent, requests) = (thousands(end.resent), count(end.requests, "request packet"));
            writeln!(out, "          {} {WARN}sent {resent} of {requests} again{WARN:#}", end.address)?;
        }
    }
    Ok(())
}

fn place(end: &EndReport) -> String {
    match end.qpn {
        Some(qpn) => format!("{} qp {qpn:#08x}", end.address),
        None => format!("{} qp ?", end.address),
    }
}

fn print_findings(out: &mut impl Write, report: &Report, limit: usize) -> io::Result<()> {
    if report.findings.is_empty() {
        return writeln!(out, "{GOOD}Nothing wrong found.{GOOD:#}");
    }
    let how_many = |severity| report.findings.iter().filter(|f| f.severity == severity).count() as u64;
    let parts = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")]
        .map(|(severity, name)| (how_many(severity), name));
    let parts: Vec<String> =
        parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, name)| count(n, name)).collect();
    writeln!(out, "{STRONG}Findings{STRONG:#}: {}", parts.join(", "))?;
    for finding in report.findings.iter().take(limit) {
        print_finding(out, finding)?;
    }
    let hidden = report.findings.len().saturating_sub(limit);
    if hidden > 0 {
        let all = report.findings.len();
        writeln!(out, "  {FAINT}... and {hidden} more; --limit {all} or --json shows all{FAINT:#}")?;
    }
    Ok(())
}

fn print_death(out: &mut impl Write, death: &Death) -> io::Result<()> {
    let id = death.connection.map_or(String::new(), |id| format!(" {id}"));
    writeln!(out, "\n{STRONG}Why connection{id} died{STRONG:#}: {}", death.reason)?;
    for line in
        wrap(&format!("{} {} {}", death.happened, death.because, death.change), width().saturating_sub(4))
    {
        writeln!(out, "    {line}")?;
    }
    Ok(())
}

fn print_finding(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    let style = match finding.severity {
        Severity::Error => BAD,
        Severity::Warning => WARN,
        Severity::Note => STRONG,
    };
    let mark = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warn",
        Severity::Note => "note",
    };
    let packets = match (&finding.packets[..], finding.packet_count) {
        ([], _) => String::new(),
        ([one], _) => format!(" packet {one}"),
        ([first, ..], n) => format!(" packet {first} and {} more", n - 1),
    };
    let connection = finding.connection.map_or(String::new(), |id| format!(", connection {id}"));
    writeln!(out, "  {style}{mark:<5}{style:#} {STRONG}{}{STRONG:#}{packets}{connection}", finding.kind)?;
    for line in wrap(&finding.text, width().saturating_sub(8)) {
        writeln!(out, "        {line}")?;
    }
    Ok(())
}
