//! A way to a server on which things go wrong: requests are refused, answers are lost, the server's clock is another
//! one. What is asked and answered is the server's own.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// It is answered by 503 and goes no further.
    Busy,
    /// What was asked is done, and the connection ends before that is told.
    Lost,
}

#[derive(Debug)]
struct Way {
    to: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Of the next writes.
    planned: VecDeque<Trouble>,
    busy: f64,
    lost: f64,
    random: fastrand::Rng,
    ahead: i64,
    troubles: u64,
}

/// A way to a server on loopback, which ends with it.
#[derive(Debug)]
pub struct Detour {
    address: SocketAddr,
    way: Arc<Way>,
}

impl Detour {
    /// A way to `to` (`127.0.0.1:PORT`), on a free port of loopback. All is well with it at first.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(to: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = State {
            planned: VecDeque::new(),
            busy: 0.0,
            lost: 0.0,
            random: fastrand::Rng::with_seed(0),
            ahead: 0,
            troubles: 0,
        };
        let way = Arc::new(Way { to: to.to_owned(), state: Mutex::new(state) });
        let shared = Arc::clone(&way);
        std::thread::Builder::new().name("detour".to_owned()).spawn(move || {
            for client in listener.incoming().flatten() {
                let way = Arc::clone(&shared);
                // A connection that breaks off is what a client has to live with.
                std::thread::spawn(move || way.carry(&client));
            }
        })?;
        Ok(Self { address, way })
    }

    /// Its address, `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// What the next writes meet, one after the other.
    pub fn plan(&self, troubles: &[Trouble]) {
        self.way.state().planned.extend(troubles);
    }

    /// From now on requests are refused, and answers lost, with these probabilities.
    pub fn fail(&self, seed: u64, busy: f64, lost: f64) {
        let mut state = self.way.state();
        (state.busy, state.lost, state.random) = (busy, lost, fastrand::Rng::with_seed(seed));
    }

    /// The server's clock is so many seconds ahead of what it is.
    pub fn clock(&self, ahead: i64) {
        self.way.state().ahead = ahead;
    }

    /// Requests that met a trouble.
    pub fn troubles(&self) -> u64 {
        self.way.state().troubles
    }
}

impl Way {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self, is_write: bool) -> Trouble {
        let mut state = self.state();
        let planned = if is_write { state.planned.pop_front() } else { None };
        let (busy, lost, drawn) = (state.busy, state.lost, state.random.f64());
        let trouble = planned.unwrap_or(match drawn {
            drawn if drawn < busy => Trouble::Busy,
            drawn if drawn < busy + lost => Trouble::Lost,
            _ => Trouble::None,
        });
        state.troubles += u64::from(trouble != Trouble::None);
        trouble
    }

    /// One request and its answer; then the connection ends.
    fn carry(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let head = head(&mut reader)?;
        let length = value(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let trouble = self.trouble(head.first().is_some_and(|line| line.starts_with("PUT ")));
        let mut client = client;
        if trouble == Trouble::Busy {
            let busy = "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return client.write_all(busy.as_bytes());
        }
        let mut server = TcpStream::connect(&self.to)?;
        send(&mut server, head, &body)?;
        let mut answer = BufReader::new(server);
        let mut lines = self::head(&mut answer)?;
        let mut rest = Vec::new();
        answer.read_to_end(&mut rest)?;
        if trouble == Trouble::Lost {
            return Ok(());
        }
        let ahead = self.state().ahead;
        for line in &mut lines {
            let Some((name, time)) = line.split_once(": ") else { continue };
            if ["date", "last-modified"].iter().any(|known| name.eq_ignore_ascii_case(known))
                && let Some(time) = later(time, ahead)
            {
                *line = format!("{name}: {time}");
            }
        }
        send(&mut client, lines, &rest)
    }
}

/// The first line and the headers, without those of the connection.
fn head(from: &mut impl BufRead) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(lines);
        }
        let name = line.split(':').next().unwrap_or_default();
        if !["connection", "keep-alive", "expect"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
            lines.push(line.to_owned());
        }
    }
}

fn value<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let mut lines = head.iter().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn send(to: &mut impl Write, head: Vec<String>, body: &[u8]) -> io::Result<()> {
    let head = head.join("\r\n") + "\r\nConnection: close\r\n\r\n";
    to.write_all(&[head.as_bytes(), body].concat())
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A time as HTTP writes it, `Mon, 30 Nov 2026 07:52:09 GMT`, so many seconds later.
fn later(text: &str, seconds: i64) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, clock, "GMT"] = words[..] else { return None };
    let month = u8::try_from(MONTHS.iter().position(|name| *name == month)? + 1).ok()?;
    let parts: Vec<u8> = clock.split(':').map_while(|part| part.parse().ok()).collect();
    let [hour, minute, second] = parts[..] else { return None };
    let month = time::Month::try_from(month).ok()?;
    let date = time::Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
    let at = time::PrimitiveDateTime::new(date, time::Time::from_hms(hour, minute, second).ok()?);
    let at = at.checked_add(time::Duration::seconds(seconds))?;
    let day = DAYS[usize::from(at.weekday().number_days_from_monday())];
    let month = MONTHS[usize::from(u8::from(at.month())) - 1];
    let (hour, minute, second) = (at.hour(), at.minute(), at.second());
    Some(format!("{day}, {:02} {month} {} {hour:02}:{minute:02}:{second:02} GMT", at.day(), at.year()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moved_over_the_ends_of_days_and_years() {
        let at = "Thu, 31 Dec 2026 23:59:58 GMT";
        assert_eq!(later(at, 3).unwrap(), "Fri, 01 Jan 2027 00:00:01 GMT");
        assert_eq!(later(at, -86_400).unwrap(), "Wed, 30 Dec 2026 23:59:58 GMT");
        assert_eq!(later("yesterday", 1), None);
    }
}
