answered
answered by Pod shop/db-0 (10.244.3.7:15432), chosen by Service
shop/db:sql

request
pod shop/web on n1
  send
    sends 10.244.1.5:40000 > 10.96.0.10:5432
    A program connects: its kernel makes the first packet, with an
    address and port of its own as the source.
    $ ss -atn 'sport = :40000'    # in the pod
  leave-pod +1.0 us
    leaves the pod by eth0
    A pod's device is one end of a veth pair: what goes in there comes
    out of the other end, which is on the node.
    $ ip link show dev eth0    # in the pod
n1
  enter-node +1.0 us
    comes in by fl0000000000web, Pod shop/web
    The node takes the packet from a device; from here on it is a router
    that has to find out where to send it.
    $ ip -d -s link show dev fl0000000000web
  service +3.0 us
    Service shop/db:sql: 10.96.0.10:5432 -> 10.244.3.7:15432, Pod
    shop/db-0 (the only endpoint)
    A Service's address belongs to no machine: nftables chooses an
    endpoint for the first packet of a connection and writes its address
    into the packet (DNAT); conntrack remembers it for the packets that
    follow.
    $ conntrack -L -f ipv4 --orig-src 10.244.1.5
  route
    route 10.244.3.0/26 via 10.244.3.1 dev vxlan0, IPBlock 10-244-3-0-26
    (of node n3, by BGP from n3: only path)
    Of all routes that contain the destination the one with the longest
    prefix decides by which device, and through whom, the packet goes
    on.
    $ ip route get 10.244.3.7 fibmatch
  policy-egress +0.5 us
    allowed by NetworkPolicy shop/web egress[0].to[1]
    A NetworkPolicy with egress isolates the pod that sends: only what
    some rule allows may leave, and only the first packet is asked.
    $ nft list chain inet fairlead egress4-shop/web
  tunnel-in +0.5 us
    into vxlan 192.0.2.11 > 198.51.100.13 by vxlan0, Node n3
    Routers between the nodes do not know pods' addresses: the packet
    travels inside of another one, from node to node.
    $ bridge fdb show dev vxlan0 | grep 198.51.100.13
  leave-node +1.0 us
    leaves by eth0, in the tunnel
    The packet leaves the node by this device, to the next hop's MAC
    address.
    $ ip -d -s link show dev eth0
n3
  enter-node
    comes in by eth0, in the tunnel
    The node takes the packet from a device; from here on it is a router
    that has to find out where to send it.
    $ ip -d -s link show dev eth0
  tunnel-out +0.1 us
    out of vxlan 192.0.2.11 > 198.51.100.13 by vxlan0
    The other end of the tunnel takes the packet out, as it was put in.
    $ ip -d -s link show dev vxlan0
  route +0.1 us
    route 10.244.3.7/32 dev fl000000000db-0, Pod shop/db-0
    Of all routes that contain the destination the one with the longest
    prefix decides by which device, and through whom, the packet goes
    on.
    $ ip route get 10.244.3.7 fibmatch
  policy-ingress +0.1 us
    allowed by NetworkPolicy shop/db ingress[0].from[0]
    A NetworkPolicy with ingress isolates the pod that receives: only
    what some rule allows may come in, judged on the pod's node.
    $ nft list chain inet fairlead ingress4-shop/db
pod shop/db-0 on n3
  enter-pod +0.1 us
    enters the pod by eth0
    Out of the node's end of the veth pair, and in by the pod's.
    $ ip link show dev eth0    # in the pod
  deliver +0.0 us
    Pod shop/db-0 has it, from 10.244.1.5:40000
    A socket listens at this address and port, and gets the packet.
    $ ss -ltn 'sport = :15432'    # in the pod

reply
pod shop/db-0 on n3
  answer
    Pod shop/db-0 answers 10.244.3.7:15432 > 10.244.1.5:40000
    The answer goes to whom the request seemed to come from.
    $ ss -ltn 'sport = :15432'    # in the pod
  leave-pod +0.0 us
    leaves the pod by eth0
    A pod's device is one end of a veth pair: what goes in there comes
    out of the other end, which is on the node.
    $ ip link show dev eth0    # in the pod
n3
  enter-node +0.0 us
    comes in by fl000000000db-0, Pod shop/db-0
    The node takes the packet from a device; from here on it is a router
    that has to find out where to send it.
    $ ip -d -s link show dev fl000000000db-0
  route +0.0 us
    route 10.244.1.0/26 via 10.244.1.1 dev vxlan0, IPBlock 10-244-1-0-26
    (of node n1)
    Of all routes that contain the destination the one with the longest
    prefix decides by which device, and through whom, the packet goes
    on.
    $ ip route get 10.244.1.5 fibmatch
  tunnel-in +0.0 us
    into vxlan 198.51.100.13 > 192.0.2.11 by vxlan0, Node n1
    Routers between the nodes do not know pods' addresses: the packet
    travels inside of another one, from node to node.
    $ bridge fdb show dev vxlan0 | grep 192.0.2.11
  leave-node +0.0 us
    leaves by eth0, in the tunnel
    The packet leaves the node by this device, to the next hop's MAC
    address.
    $ ip -d -s link show dev eth0
n1
  enter-node
    comes in by eth0, in the tunnel
    The node takes the packet from a device; from here on it is a router
    that has to find out where to send it.
    $ ip -d -s link show dev eth0
  tunnel-out +1.0 us
    out of vxlan 198.51.100.13 > 192.0.2.11 by vxlan0
    The other end of the tunnel takes the packet out, as it was put in.
    $ ip -d -s link show dev vxlan0
  untranslate +2.0 us
    10.244.3.7:15432 > 10.244.1.5:40000 -> 10.96.0.10:5432 >
    10.244.1.5:40000, as it was translated by Service shop/db:sql
    Conntrack knows the connection and undoes for the answer what was
    done to the request: who asked must see the address that it asked.
    $ conntrack -L -f ipv4 --reply-dst 10.244.1.5
  route
    route 10.244.1.5/32 dev fl0000000000web, Pod shop/web
    Of all routes that contain the destination the one with the longest
    prefix decides by which device, and through whom, the packet goes
    on.
    $ ip route get 10.244.1.5 fibmatch
pod shop/web on n1
  enter-pod +1.0 us
    enters the pod by eth0
    Out of the node's end of the veth pair, and in by the pod's.
    $ ip link show dev eth0    # in the pod
  deliver +1.0 us
    Pod shop/web has it, from 10.96.0.10:5432
    A socket listens at this address and port, and gets the packet.
    $ ss -atn 'sport = :40000'    # in the pod
