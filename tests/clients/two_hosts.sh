#!/bin/bash
# Two hosts, moon and sun, that speak IKE with each other: each a network namespace with strongSwan's
# daemon. To be run in namespaces of its own (network, mounts, processes), in a directory that has
# moon/ and sun/ with their strongswan.conf and swanctl.conf. The first argument is what to do then:
# commands, for which on_moon and on_sun are there. 10.9.1.1 is an address behind moon, and 10.9.2.1
# one behind sun; packets between these two networks go through the tunnel or nowhere.
set -eu

show_logs() {
    for host in moon sun; do
        echo "@@ log of $host"
        cat "$host/output" "$host/log" 2>&1 || true
    done
}
trap show_logs EXIT

unshare --net sleep 600 &
other=$!
until [ "$(readlink /proc/self/ns/net)" != "$(readlink /proc/$other/ns/net)" ]; do sleep 0.05; done

at_moon() { "$@"; }
at_sun() { nsenter --net --target $other "$@"; }
on_moon() { STRONGSWAN_CONF=$PWD/moon/strongswan.conf at_moon "$@"; }
on_sun() { STRONGSWAN_CONF=$PWD/sun/strongswan.conf at_sun "$@"; }

ip link add name wire type veth peer name wire netns $other
for host in moon sun; do
    [ $host = moon ] && number=1 || number=2
    at_$host ip link set dev lo up
    at_$host ip address add 10.9.$number.1/24 dev lo
    at_$host ip address add 10.9.0.$number/24 dev wire
    at_$host ip link set dev wire up
    # Each daemon writes its process id to /run.
    on_$host unshare --mount sh -c 'mount -t tmpfs none /run && exec /usr/lib/ipsec/charon' \
        > $host/output 2>&1 &
done
for host in moon sun; do
    for _ in $(seq 600); do [ -S $host/vici ] && break; sleep 0.05; done
    on_$host swanctl --load-all --noprompt --file $host/swanctl/swanctl.conf
done

eval "$1"
