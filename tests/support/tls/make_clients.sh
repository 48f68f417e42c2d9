#!/bin/sh
# Makes the certificates by which a client proves who it is: clients.pem, client.pem, locked.pem (the key of client.pem
# with a passphrase), stranger.pem. Needs openssl.
set -eu
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
days=36500

authority() { # NAME COMMON-NAME
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "$days" -subj "/CN=$2" \
        -keyout "$scratch/$1.key" -out "$scratch/$1.crt" 2>/dev/null
}

client() { # NAME COMMON-NAME AUTHORITY
    printf 'extendedKeyUsage=clientAuth\nbasicConstraints=critical,CA:FALSE\n' >"$scratch/extensions"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$scratch/$1.key" -out "$scratch/$1.csr" 2>/dev/null
    openssl x509 -req -in "$scratch/$1.csr" -CA "$scratch/$3.crt" -CAkey "$scratch/$3.key" -CAcreateserial -days "$days" \
        -extfile "$scratch/extensions" -out "$scratch/$1.crt" 2>/dev/null
    cat "$scratch/$1.key" "$scratch/$1.crt" >"$1.pem"
}

authority ours "anomaly test clients"
authority theirs "somebody else's clients"
cp "$scratch/ours.crt" clients.pem
client client "anomaly" ours
client stranger "anomaly" theirs
openssl pkcs8 -topk8 -in "$scratch/client.key" -passout pass:unknown -out locked.pem
