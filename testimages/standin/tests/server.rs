//! The server itself: it asks for signatures, and it stops.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use standin::{Call, Config, Fault, Faults, Server, Snapshot};

const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=test/20261101/us-east-1/ebs/aws4_request, \
                      SignedHeaders=host, Signature=00\r\n";

fn start(faults: Faults) -> Server {
    let snapshots = vec![Snapshot::from_bytes("snap-01", vec![1; 100])];
    Server::start(Config { snapshots, faults, ..Config::default() }).unwrap()
}

/// A connection on which the first page of the snapshot was asked for.
fn ask(server: &Server, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.endpoint().trim_start_matches("http://")).unwrap();
    let request = format!("GET /snapshots/snap-01/blocks HTTP/1.1\r\nHost: standin\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn first_line(stream: &mut TcpStream) -> String {
    let mut head = vec![0; 4096];
    let count = stream.read(&mut head).unwrap();
    String::from_utf8_lossy(&head[..count]).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_request_must_be_signed_for_the_service() {
    let server = start(Faults::default());
    assert_eq!(first_line(&mut ask(&server, SIGNED)), "HTTP/1.1 200 OK");
    assert_eq!(first_line(&mut ask(&server, "")), "HTTP/1.1 403 Forbidden");
    let for_s3 = SIGNED.replace("/ebs/", "/s3/");
    assert_eq!(first_line(&mut ask(&server, &for_s3)), "HTTP/1.1 403 Forbidden");
    assert_eq!(server.counts().list, 1);
}

#[test]
fn dropping_the_server_ends_idle_connections_at_once_and_stalled_ones_soon() {
    let server = start(Faults::default());
    let mut idle = ask(&server, SIGNED);
    first_line(&mut idle);
    let start_of_stop = Instant::now();
    drop(server);
    assert!(start_of_stop.elapsed() < Duration::from_millis(1800), "{:?}", start_of_stop.elapsed());

    let server = start(Faults::default().at(Call::List, 0..1, Fault::Stall));
    let mut stalled = ask(&server, SIGNED);
    while server.counts().list == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(server);
    assert_eq!(stalled.read(&mut [0; 4096]).unwrap_or(0), 0);
}
