//! A guest behind ssh, as if it were somebody's machine with hardware: the whole way is walked, with a key made for
//! the run.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::results::Results;
use crate::tally::{Tally, Verdict, is_ci};
use crate::vm::{Guest, directory};

const SERVER: &str = "/usr/sbin/sshd";

/// How long the far end may take to notice that we are gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// Plays a few cases with `guest` over ssh, is interrupted, asks for what is not there; nothing may stay behind.
pub fn rehearse(guest: &Guest, filter: &str, tally: &mut Tally) {
    let case = |tally: &mut Tally, name: &str, act: &dyn Fn(&Way) -> Result<()>| {
        let name = format!("over ssh: {name}");
        if name.contains(filter) {
            tally.case(&name, || {
                if !Path::new(SERVER).exists() && !is_ci() {
                    let why = "install openssh-server (which starts a server on this machine)";
                    return Ok(Verdict::Skipped(why.to_owned()));
                }
                let way = Way::open(guest)?;
                act(&way)?;
                way.is_clean()?;
                Ok(Verdict::Passed)
            });
        }
    };
    case(tally, "a scenario in both roles", &|way| way.plays());
    case(tally, "interrupted in the middle", &|way| way.is_interrupted());
    case(tally, "a device that is not there", &|way| way.is_told_what_is_missing());
}

/// A guest with an ssh server.
struct Way<'a> {
    guest: &'a Guest,
    key: PathBuf,
}

impl<'a> Way<'a> {
    fn open(guest: &'a Guest) -> Result<Self> {
        let key = directory().join("ssh-key");
        if !key.exists() {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(&key)
                .status()
                .context("cannot run ssh-keygen (Debian package openssh-client)")?;
            ensure!(made.success(), "ssh-keygen made no key");
        }
        let public = fs::read_to_string(key.with_extension("pub"))?;
        guest.check(&format!(
            "test -e /run/sshd.pid || {{ mkdir -p /run/sshd; chmod 755 /run/sshd; \
             echo '{}' > /run/ferroce.pub; ssh-keygen -q -t ed25519 -N '' -f /run/ferroce-host-key; \
             {SERVER} -f /dev/null -h /run/ferroce-host-key -o AuthorizedKeysFile=/run/ferroce.pub \
             -o StrictModes=no -o PasswordAuthentication=no -o PidFile=/run/sshd.pid; }}; \
             until grep -q ':0016 .* 0A ' /proc/net/tcp; do sleep 0.1; done",
            public.trim()
        ))?;
        Ok(Self { guest, key })
    }

    /// This program, against the guest.
    fn command(&self, device: &str, filter: &str) -> Result<Command> {
        let ssh = format!(
            "ssh -i {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
            self.key.display()
        );
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--peer", &format!("root@{}", self.guest.kernel.ipv4()), "--ssh", &ssh]);
        command.args(["--peer-device", device, filter]).stdin(Stdio::null());
        Ok(command)
    }

    fn plays(&self) -> Result<()> {
        let results = directory().join("over-ssh/results.json");
        let output = self.command("rxe0", "rc_send_ok")?.arg("--results").arg(&results).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let problem = || format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success() && text.contains("2 passed, 0 failed, 0 skipped"), problem());
        let read = Results::read_all(results.parent().context("the file lies in a directory")?)?;
        let [Results { device, rows }] = &read[..] else { anyhow::bail!("{read:?}") };
        ensure!(device.driver == "rdma_rxe" && device.kernel == self.guest.release, "{device:?}");
        ensure!(
            rows.len() == 1 && rows[0].requester == "passed" && rows[0].responder == "passed",
            "{rows:?}"
        );
        Ok(())
    }

    fn is_interrupted(&self) -> Result<()> {
        let mut run = self.command("rxe0", "rc_")?.stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(run.stdout.take().context("the run writes")?);
        let began = output.lines().map_while(Result::ok).any(|line| line.starts_with("ok "));
        run.kill()?;
        run.wait()?;
        ensure!(began, "no case passed before the run ended");
        Ok(())
    }

    fn is_told_what_is_missing(&self) -> Result<()> {
        let output = self.command("nonesuch", "rc_send_ok")?.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            !output.status.success() && text.contains("there is no device nonesuch, only rxe0"),
            "{text}"
        );
        Ok(())
    }

    /// The far end takes everything away by itself, and its processes end.
    fn is_clean(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Brackets, so that the shell that looks does not find itself.
            let left = self.guest.check(
                "ls -d /tmp/ferroce-interop-* 2>/dev/null; \
                 pgrep -f '[s]erver.py /tmp/|[F]ar end of an interop run'; true",
            )?;
            if left.trim().is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "left behind in the guest: {left}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
