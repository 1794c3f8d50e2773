//! The same with responses that OpenSSL made: another implementation's idea of OCSP. Skipped where it is not installed.

use std::{fs, path::Path, process::Command};

use super::*;

/// A certification authority in a folder, driven by the command line.
struct Authority<'a> {
    folder: &'a Path,
}

impl Authority<'_> {
    fn run(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.folder)
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {complaint}");
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name)).unwrap()
    }

    /// An authority, a device and a responder.
    fn set_up(&self) {
        self.write(
            "ca.cnf",
            "[req]\ndistinguished_name=dn\n[dn]\n\
             [authority]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n\
             [device]\nkeyUsage=critical,digitalSignature\n\
             [responder]\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=critical,OCSPSigning\n",
        );
        for name in ["authority", "device", "responder"] {
            self.run(&format!(
                "ecparam -name secp384r1 -genkey -noout -out {name}.key"
            ));
        }
        self.run(
            "req -config ca.cnf -x509 -new -sha384 -key authority.key -subj /CN=authority -days 30 \
             -extensions authority -out authority.pem",
        );
        for name in ["device", "responder"] {
            self.run(&format!(
                "req -config ca.cnf -new -key {name}.key -subj /CN={name} -out {name}.csr"
            ));
            self.run(&format!(
                "x509 -req -sha384 -in {name}.csr -CA authority.pem -CAkey authority.key -set_serial 0x4101 \
                 -days 30 -extfile ca.cnf -extensions {name} -out {name}.pem"
            ));
        }
        for name in ["authority", "device"] {
            self.run(&format!("x509 -in {name}.pem -outform DER -out {name}.der"));
        }
    }

    /// The response for the device, by the authority's own record of it.
    fn respond(&self, record: &str, digest: &str, signer: &str) -> Vec<u8> {
        self.write("index.txt", record);
        self.run(&format!(
            "ocsp -issuer authority.pem -{digest} -cert device.pem -no_nonce -reqout request.der"
        ));
        self.run(&format!(
            "ocsp -index index.txt -CA authority.pem -rsigner {signer}.pem -rkey {signer}.key -rmd sha384 \
             -ndays 1 -reqin request.der -respout response.der"
        ));
        self.read("response.der")
    }
}

#[test]
fn responses_of_openssl_are_read() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("SKIPPED responses_of_openssl_are_read: openssl is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority {
        folder: folder.path(),
    };
    authority.set_up();
    let issuer = Certificate::parse(&authority.read("authority.der")).unwrap();
    let device = Certificate::parse(&authority.read("device.der")).unwrap();
    let judge = |bytes: &[u8]| {
        let response = Response::parse(bytes).unwrap();
        let pairs = std::iter::once((&device, &issuer));
        assert_eq!(response.subject(pairs), Ok(0));
        response.verify(&issuer, &SignatureMemo::default(), openssl_now_s(&response))
    };
    let good = "V\t400101000000Z\t\t4101\tunknown\t/CN=device\n";
    for digest in ["sha1", "sha256", "sha384"] {
        for signer in ["authority", "responder"] {
            let standing = judge(&authority.respond(good, digest, signer));
            assert!(
                matches!(standing, Ok(OcspStanding::Good { .. })),
                "{digest} {signer}"
            );
        }
    }
    let revoked = "R\t400101000000Z\t250102030405Z,keyCompromise\t4101\tunknown\t/CN=device\n";
    let refused = judge(&authority.respond(revoked, "sha384", "responder"));
    let revoked_at_s = 1_735_787_045;
    assert!(
        matches!(refused, Err(OcspError::Revoked { revoked_at_s: found, .. }) if found == revoked_at_s)
    );
    let unknown = judge(&authority.respond("", "sha384", "responder"));
    assert_eq!(unknown, Ok(OcspStanding::Unknown));
    // The device's certificate is of the same issuer, but not for OCSP.
    let refused = judge(&authority.respond(good, "sha384", "device"));
    assert_eq!(refused, Err(OcspError::ResponderPurpose));
}

/// OpenSSL dates a response by the clock, which a test does not read: the response itself says when it was made.
fn openssl_now_s(response: &Response<'_>) -> u64 {
    seconds(response.data().unwrap().produced_at)
}
