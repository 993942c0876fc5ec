//! Making connections, to the scheduler and to stores alike.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

/// A connection over which nothing comes is asked whether it is alive, and given up if it does not
/// answer: a machine that lost its power closes nothing.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(3);

/// What may be under way to us on one connection without our consent.
const WINDOW_BYTES: u32 = 8 << 20;

/// The most addresses that one list may have.
const ADDRESSES_MAX: usize = 64;

/// The addresses of a list, where each item may be several with commas between; each as a URL.
pub(crate) fn urls<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Vec<String>, String> {
    let parts = list.into_iter().flat_map(|item| item.split(',')).map(str::trim);
    let mut urls = Vec::new();
    for part in parts.filter(|part| !part.is_empty()) {
        let url = url(part)?;
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    if urls.is_empty() {
        return Err("there is no address".to_owned());
    }
    if urls.len() > ADDRESSES_MAX {
        return Err(format!("there are {} addresses, the limit is {ADDRESSES_MAX}", urls.len()));
    }
    Ok(urls)
}

/// An address as a URL: people leave the scheme out, and so do stores.
pub(crate) fn url(address: &str) -> Result<String, String> {
    let address = address.trim_end_matches('/');
    let host = match address.split_once("://") {
        None => address,
        Some(("http", host)) => host,
        Some(("https", _)) => return Err(format!("{address}: encryption is not supported")),
        Some((scheme, _)) => return Err(format!("{address}: {scheme} is not http")),
    };
    let url = format!("http://{host}");
    match Endpoint::from_shared(url.clone()) {
        Ok(endpoint) if endpoint.uri().port().is_some() => Ok(url),
        Ok(_) => Err(format!("{address}: the port is missing, as in {host}:2379")),
        Err(error) => Err(format!("{address}: {error}")),
    }
}

/// Connects. The connection is made when this returns; if it breaks later, calls make it again.
pub(crate) async fn dial(url: &str, patience: Duration) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| error.to_string())?;
    let endpoint = endpoint
        .connect_timeout(patience)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_PATIENCE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    // The endpoint's own limit ends with the socket; what listens there may never speak HTTP.
    let connected = tokio::time::timeout(patience, endpoint.connect()).await;
    let connected = connected.map_err(|_| format!("no connection within {patience:?}"))?;
    connected.map_err(|error| whole(&error))
}

/// An error with its sources, which say what the error itself keeps to itself.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_with_or_without_scheme_alone_or_in_lists() {
        let cases = [
            (&["127.0.0.1:2379"][..], Ok(vec!["http://127.0.0.1:2379"])),
            (&["http://localhost:2379/"], Ok(vec!["http://localhost:2379"])),
            (&["a:1,b:2", " a:1 "], Ok(vec!["http://a:1", "http://b:2"])),
            (&["[::1]:2379"], Ok(vec!["http://[::1]:2379"])),
            (&["https://a:1"], Err("https://a:1: encryption is not supported")),
            (&["ftp://a:1"], Err("ftp://a:1: ftp is not http")),
            (&["localhost"], Err("localhost: the port is missing, as in localhost:2379")),
            (&["", ","], Err("there is no address")),
        ];
        for (list, expected) in cases {
            let told = urls(list.iter().copied());
            let expected = expected
                .map(|urls| urls.into_iter().map(str::to_owned).collect::<Vec<_>>())
                .map_err(str::to_owned);
            assert_eq!(told, expected, "{list:?}");
        }
        assert!(urls(["a b:1"]).is_err());
    }
}
