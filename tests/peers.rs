//! Real peers instead of played ones: nginx behind Tollgate, curl in front of it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::support::tollgate::directory;
use crate::support::{Client, Manifest, Message, Origin, PATIENCE, Tollgate, eventually};

/// The size of the file that nginx serves, in bytes.
const SIZE: usize = 5_000_003;

/// A running nginx that serves one file, `/file`, from a directory of its own.
struct Nginx {
    address: SocketAddr,
    child: Child,
    directory: PathBuf,
}

impl Nginx {
    fn start(file: &[u8]) -> Self {
        let directory = directory();
        std::fs::write(directory.join("file"), file).unwrap();
        // nginx cannot choose a port by itself; should another take this one meanwhile, it is told to try another.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            std::fs::write(directory.join("nginx.conf"), configuration(&directory, address)).unwrap();
            let mut child = Command::new("nginx")
                .args(["-e", "stderr", "-p"])
                .arg(&directory)
                .arg("-c")
                .arg(directory.join("nginx.conf"))
                .spawn()
                .expect("nginx, which these tests need: apt-get install nginx");
            let mut status = None;
            eventually("nginx listens", || {
                status = child.try_wait().unwrap();
                status.is_some() || TcpStream::connect(address).is_ok()
            });
            if status.is_none() {
                return Self { address, child, directory };
            }
        }
        panic!("nginx does not start");
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn configuration(directory: &Path, address: SocketAddr) -> String {
    let directory = directory.display();
    // The root user's nginx would else serve as `nobody`, who may not read the directory.
    let user = if is_root() { "user root;" } else { "" };
    format!(
        "{user} daemon off; master_process off; pid {directory}/pid; error_log stderr; events {{}}
        http {{
          access_log off; gzip off; keepalive_requests 1000000; default_type application/octet-stream;
          client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
          uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi; client_max_body_size 100m;
          server {{
            listen {address}; root {directory};
            location /upload/ {{ dav_methods PUT; create_full_put_path on; }}
          }}
        }}"
    )
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id");
    id.stdout.trim_ascii() == b"0"
}

/// A file's worth of bytes that do not repeat soon.
fn file() -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    fastrand::Rng::with_seed(7).fill(&mut bytes);
    bytes
}

fn in_front_of(nginx: &Nginx) -> Tollgate {
    Manifest::default().in_front_of_url(&format!("http://{}", nginx.address), &[])
}

fn ask(client: &mut Client, method: &str, fields: &str) -> Message {
    let head = method == "HEAD";
    client
        .send(format!("{method} /file HTTP/1.1\r\nhost: t\r\n{fields}\r\n"))
        .try_receive(head)
        .expect("a response")
}

#[test]
fn nginx_serves_a_file_whole_in_ranges_by_head_and_by_tag() {
    let file = file();
    let nginx = Nginx::start(&file);
    let tollgate = in_front_of(&nginx);
    let mut client = tollgate.client();
    let whole = ask(&mut client, "GET", "");
    assert!(whole.status() == 200 && whole.body == file);
    let range = ask(&mut client, "GET", "range: bytes=1000000-2999999\r\n");
    assert_eq!((range.status(), range.field("content-range")), (206, Some("bytes 1000000-2999999/5000003")));
    assert!(range.body == file[1_000_000..3_000_000]);
    let ranges = ask(&mut client, "GET", "range: bytes=0-1,-2\r\n");
    assert!(
        ranges.status() == 206 && ranges.field("content-type").unwrap().starts_with("multipart/byteranges")
    );
    assert_eq!(ask(&mut client, "GET", "range: bytes=6000000-\r\n").status(), 416);
    let head = ask(&mut client, "HEAD", "");
    assert_eq!((head.status(), head.field("content-length")), (200, Some("5000003")));
    let etag = whole.field("etag").unwrap();
    let unchanged = ask(&mut client, "GET", &format!("if-none-match: {etag}\r\n"));
    assert_eq!((unchanged.status(), unchanged.field("etag")), (304, Some(etag)));
    assert_eq!(client.get("/nothing").status(), 404);
    assert_eq!(client.get("/metrics").status(), 200, "the connection is still in step");
}

#[test]
fn nginx_takes_what_curl_uploads() {
    let file = file();
    let nginx = Nginx::start(b"");
    let tollgate = in_front_of(&nginx);
    let sent = nginx.directory.join("to-send");
    std::fs::write(&sent, &file).unwrap();
    for (name, options) in
        [("plain", &[][..]), ("chunked", &["-H", "transfer-encoding: chunked"]), ("old", &["--http1.0"])]
    {
        let mut arguments = vec!["-T", sent.to_str().unwrap(), "-o", "/dev/null", "-w", "%{http_code}"];
        arguments.extend(options);
        let output = curl(&tollgate, &format!("/upload/{name}"), &arguments);
        assert_eq!(text(&output), "201", "{name}");
        assert!(std::fs::read(nginx.directory.join("upload").join(name)).unwrap() == file, "{name}");
    }
}

#[test]
fn curl_reads_every_kind_of_answer() {
    let file = file();
    let nginx = Nginx::start(&file);
    let tollgate = in_front_of(&nginx);
    let head = text(&curl(&tollgate, "/file", &["-I"]));
    assert!(
        head.starts_with("HTTP/1.1 200") && head.to_lowercase().contains("content-length: 5000003"),
        "{head}"
    );
    assert!(curl(&tollgate, "/file", &["--http1.0"]).stdout == file);
    assert!(curl(&tollgate, "/file", &[]).stdout == file);
    let codes =
        curl(&tollgate, "/file", &["-r", "0-9", "-o", "/dev/null", "-w", "%{http_code} %{size_download}"]);
    assert_eq!(text(&codes), "206 10");
}

#[test]
fn curl_sees_the_chunks_that_the_origin_made() {
    let (origin, _requests) =
        Origin::recording("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let tollgate = Manifest::default().in_front_of(&origin);
    assert_eq!(text(&curl(&tollgate, "/", &["--raw"])), "3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(text(&curl(&tollgate, "/", &[])), "abc");
    let old = text(&curl(&tollgate, "/", &["--http1.0", "-i"])).to_lowercase();
    assert!(!old.contains("transfer-encoding") && old.ends_with("\r\n\r\nabc"), "{old}");
}

/// What curl says of a path; it must be content with it.
fn curl(tollgate: &Tollgate, path: &str, arguments: &[&str]) -> Output {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", &PATIENCE.as_secs().to_string()])
        .args(arguments)
        .arg(format!("http://{}{path}", tollgate.address))
        .stdin(Stdio::null())
        .output()
        .expect("curl, which these tests need: apt-get install curl");
    assert!(output.status.success(), "curl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
