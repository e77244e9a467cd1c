//! The way that real users take to AWS: by TLS, and often through a proxy.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use standin::{Instance, Snapshot};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::cloud::{Cloud, ID, noise};

const INSTANCE: &str = "i-0123456789abcdef0";

/// Hosts and ports, and the word of who asked for them.
type Asked = BTreeSet<(String, Option<String>)>;

/// A stand-in with an instance, TLS in front of it, a proxy that leads there, and the file with the
/// authority's certificate.
struct Secured {
    cloud: Cloud,
    tls: SocketAddr,
    proxy: SocketAddr,
    authority: PathBuf,
    /// What the proxy was asked for, and who asked.
    asked: Arc<Mutex<Asked>>,
    _runtime: Runtime,
}

impl Secured {
    fn new() -> Self {
        let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let snapshot = Snapshot::from_bytes(ID, noise(1, 8)).of_volume("vol-1").started(started);
        let instance = Instance {
            id: INSTANCE.into(),
            root_device: "/dev/xvda".into(),
            volumes: vec![("/dev/xvda".into(), "vol-1".into())],
            ..Instance::default()
        };
        let cloud = Cloud::new(vec![snapshot], vec![instance]);
        let runtime = Runtime::new().unwrap();

        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = cloud.path().join("authority.pem");
        std::fs::write(&authority, params.self_signed(&key).unwrap().pem()).unwrap();
        let names = ["localhost", "ebs.eu-west-1.amazonaws.com", "ec2.eu-west-1.amazonaws.com"];
        let own = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(names.map(str::to_owned)).unwrap();
        let leaf = leaf.signed_by(&own, &Issuer::new(params, key)).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(own.serialize_der()).unwrap())
            .unwrap();

        let acceptor = TlsAcceptor::from(Arc::new(config));
        let plain: SocketAddr = cloud.server.endpoint().trim_start_matches("http://").parse().unwrap();
        let tls = serve(&runtime, move |client| {
            let acceptor = acceptor.clone();
            async move {
                let mut client = acceptor.accept(client).await?;
                join(&mut client, plain).await
            }
        });
        let asked = Arc::new(Mutex::new(Asked::new()));
        let seen = Arc::clone(&asked);
        let proxy = serve(&runtime, move |mut client| {
            let seen = Arc::clone(&seen);
            async move {
                let head = head(&mut client).await?;
                let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
                let user = head.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: "));
                seen.lock().unwrap().insert((target.unwrap_or(&head).to_owned(), user.map(str::to_owned)));
                if user.is_none() {
                    return client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
                }
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
                join(&mut client, tls).await
            }
        });
        Self { cloud, tls, proxy, authority, asked, _runtime: runtime }
    }

    /// Inspects by `https://HOST:PORT` of the TLS server, or by AWS's own names, with these variables; what it says.
    #[track_caller]
    fn inspect(&self, host: Option<&str>, name: &str, variables: &[(&str, &str)], exit: i32) -> String {
        let mut command = self.cloud.command(&format!("inspect ebs:{name}@eu-west-1 --ebs-patience 3"));
        match host {
            Some(host) => command.env("AWS_ENDPOINT_URL", format!("https://{host}:{}", self.tls.port())),
            None => command.env_remove("AWS_ENDPOINT_URL"),
        };
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_CA_BUNDLE", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"]
        {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        let start = Instant::now();
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{variables:?}\n{said}");
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}\n{said}", start.elapsed());
        said
    }
}

/// Serves each connection to a new port.
fn serve<F>(runtime: &Runtime, each: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // A client that goes away in the midst is no fault of the server's.
            tokio::spawn(each(client));
        }
    });
    address
}

/// Carries all that comes between the two.
async fn join(
    client: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    server: SocketAddr,
) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    copy_bidirectional(client, &mut server).await.map(drop)
}

/// The head of a request.
async fn head(client: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[test]
fn who_trusts_the_authority_reads_a_snapshot_by_tls() {
    let secured = Secured::new();
    let authority = secured.authority.to_str().unwrap();
    // A snapshot, by the EBS direct APIs; and an instance's, for which EC2 is asked, too.
    for name in [ID, INSTANCE] {
        for variable in ["SSL_CERT_FILE", "AWS_CA_BUNDLE"] {
            secured.cloud.forget();
            secured.inspect(Some("localhost"), name, &[(variable, authority)], 0);
            let counts = secured.cloud.server.counts();
            assert!(counts.get > 0 && counts.ec2 == 2 * u64::from(name == INSTANCE), "{name}: {counts:?}");
        }
    }
    let both = [("SSL_CERT_FILE", "/nowhere"), ("AWS_CA_BUNDLE", authority)];
    secured.inspect(Some("localhost"), ID, &both, 0);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_at_once() {
    let secured = Secured::new();
    let authority = secured.authority.to_str().unwrap();
    for name in [ID, INSTANCE] {
        let said = secured.inspect(Some("localhost"), name, &[], 2);
        for piece in [name, "the certificate cannot be trusted", "UnknownIssuer", "help: ", "AWS_CA_BUNDLE"] {
            assert!(said.contains(piece), "{piece} is not in {said}");
        }
        assert!(!said.contains("tries"), "{said}");
        let said = secured.inspect(Some("127.0.0.1"), name, &[("SSL_CERT_FILE", authority)], 2);
        assert!(said.contains("not valid for name"), "{said}");
    }
    for variable in ["SSL_CERT_FILE", "AWS_CA_BUNDLE"] {
        let said = secured.inspect(Some("localhost"), ID, &[(variable, "/nowhere/ca.pem")], 2);
        assert!(said.contains(variable) && said.contains("/nowhere/ca.pem"), "{said}");
    }
    let counts = secured.cloud.server.counts();
    assert_eq!((counts.list, counts.ec2), (0, 0), "nothing was sent");
}

#[test]
fn a_proxy_is_gone_through_and_says_why_if_it_refuses() {
    let secured = Secured::new();
    let authority = ("AWS_CA_BUNDLE", secured.authority.to_str().unwrap());
    let proxy = |user: &str| format!("http://{user}{}", secured.proxy);
    // As in a company: AWS by its own names, and no other way out.
    secured.inspect(None, INSTANCE, &[authority, ("HTTPS_PROXY", &proxy("me:secret@"))], 0);
    let asked = std::mem::take(&mut *secured.asked.lock().unwrap());
    let user = Some("Basic bWU6c2VjcmV0".to_owned());
    let hosts = ["ebs", "ec2"].map(|name| (format!("{name}.eu-west-1.amazonaws.com:443"), user.clone()));
    assert_eq!(asked, BTreeSet::from(hosts));

    let port = secured.proxy.port().to_string();
    for name in [ID, INSTANCE] {
        let said = secured.inspect(None, name, &[authority, ("HTTPS_PROXY", &proxy(""))], 2);
        for piece in ["the proxy cannot be used", "407", &port, "help: set HTTPS_PROXY"] {
            assert!(said.contains(piece), "{piece} is not in {said}");
        }
    }
    let said = secured.inspect(None, ID, &[authority, ("ALL_PROXY", "socks5://me:secret@127.0.0.1")], 2);
    assert!(said.contains("SOCKS") && !said.contains("secret"), "{said}");
    let dead = ("HTTPS_PROXY", "http://127.0.0.1:9");
    let said = secured.inspect(None, ID, &[authority, dead, ("REFLOAT_LOG", "off")], 3);
    assert!(said.contains("by the proxy 127.0.0.1:9"), "{said}");
    // There is a way past it for some, and for what has no TLS.
    secured.inspect(Some("localhost"), ID, &[authority, dead, ("NO_PROXY", "localhost")], 0);
    let mut plain = secured.cloud.command("inspect ebs:S");
    assert!(plain.env(dead.0, dead.1).env("HTTP_PROXY", dead.1).output().unwrap().status.success());
}
