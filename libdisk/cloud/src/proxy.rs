//! The proxy that the environment names.

use ureq::Proxy;

use crate::fault::{Fault, FaultKind};

/// Where a proxy for `https` is named, the first that is set.
const NAMES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The proxy for requests by `https`, as curl and the AWS CLI find it. What goes by plain `http` goes past
/// it: that is this machine's own metadata service, or a stand-in.
///
/// # Errors
/// `Proxy` where one is named that cannot be used.
pub(crate) fn proxy() -> Result<Option<Proxy>, Fault> {
    let of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some((name, url)) = NAMES.iter().find_map(|name| Some((*name, of(name)?))) else { return Ok(None) };
    let except = of("NO_PROXY").or_else(|| of("no_proxy")).unwrap_or_default();
    named(name, &url, &except).map(Some)
}

/// The proxy `url`, not to be used for the hosts, and those below the domains, in `except`.
fn named(name: &str, url: &str, except: &str) -> Result<Proxy, Fault> {
    // The URL may hold a password, so it is not told.
    let wrong = |why: &str| Fault::new(FaultKind::Proxy, format!("{name} {why}"));
    let proxy = Proxy::new(url).map_err(|_| wrong("is no URL of a proxy, as http://proxy:3128 is"))?;
    if !matches!(proxy.protocol(), ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https) {
        return Err(wrong("names a SOCKS proxy, which is not supported"));
    }
    let mut builder = Proxy::builder(proxy.protocol()).host(proxy.host()).port(proxy.port());
    if let Some(user) = proxy.username() {
        builder = builder.username(user);
    }
    if let Some(password) = proxy.password() {
        builder = builder.password(password);
    }
    for entry in except.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let domain = entry.trim_start_matches("*.").trim_start_matches('.');
        builder = builder.no_proxy(domain).no_proxy(&format!(".{domain}"));
    }
    builder.build().map_err(|_| wrong("is no URL of a proxy, as http://proxy:3128 is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_others_read_it() {
        let proxy =
            named("HTTPS_PROXY", "http://me:p%40ss@proxy.local:3128", "a.example, .b.example,*.c.example");
        let proxy = proxy.unwrap();
        assert_eq!((proxy.host(), proxy.port()), ("proxy.local", 3128));
        assert_eq!((proxy.username(), proxy.password()), (Some("me"), Some("p@ss")));
        let past = |host: &str| proxy.is_no_proxy(&format!("https://{host}/").parse().unwrap());
        for host in ["a.example", "x.a.example", "x.b.example", "x.c.example"] {
            assert!(past(host), "{host}");
        }
        for host in ["ebs.eu-west-1.amazonaws.com", "xa.example"] {
            assert!(!past(host), "{host}");
        }
        let all = named("HTTPS_PROXY", "proxy.local:3128", "*").unwrap();
        assert!(all.is_no_proxy(&"https://ebs.eu-west-1.amazonaws.com/".parse().unwrap()));
        for (url, why) in
            [("socks5://user:secret@proxy", "SOCKS"), ("http://", "no URL"), ("ftp://x", "no URL")]
        {
            let fault = named("HTTPS_PROXY", url, "").unwrap_err();
            assert_eq!(fault.kind(), FaultKind::Proxy);
            assert!(fault.to_string().contains(why) && !fault.to_string().contains("secret"), "{fault}");
        }
    }
}
