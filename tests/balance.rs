//! Connections are spread evenly over the workers, whatever the kernel's hash of their addresses says.

use crate::support::{Client, Manifest, Origin, Tollgate, eventually};

const CONNECTIONS: usize = 64;

/// How many connections of clients each worker has.
pub(crate) fn connections_by_worker(tollgate: &Tollgate, workers: usize) -> Vec<f64> {
    (0..workers).map(|n| tollgate.metric(&format!("tollgate_worker_connections{{worker=\"{n}\"}}"))).collect()
}

fn spread(workers: usize, most: f64) {
    let origin = Origin::working();
    let arguments = ["--workers", &workers.to_string()];
    let tollgate = Manifest::default().in_front_of_url(&origin.url(), &arguments);
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| tollgate.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status(), 200);
    }
    // Each look is a connection of its own, counted by one of the workers.
    let held = connections_by_worker(&tollgate, workers);
    let all = held.iter().sum::<f64>();
    assert!(all >= CONNECTIONS as f64, "{held:?}");
    assert!(held.iter().all(|held| held / all <= most), "{held:?}");
    drop(clients);
    eventually("all connections are gone but the one that looks", || {
        connections_by_worker(&tollgate, workers).iter().sum::<f64>() <= workers as f64
    });
}

#[test]
fn two_workers_have_half_of_the_connections_each() {
    spread(2, 0.60);
}

#[test]
fn four_workers_have_a_quarter_of_the_connections_each() {
    spread(4, 0.32);
}
