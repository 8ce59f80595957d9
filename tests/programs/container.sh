# In namespaces of a user's own, as a container without privileges has them: FERROCE PROGRAM
run="$1 run --"

# The network is not up, and there is a device nevertheless.
$run ibv_devinfo | grep PORT_ACTIVE

# Most containers bring this up by themselves.
ip link set lo up

$run "$2"
$run /usr/bin/python3 -c "import pyverbs.device as d; print(d.Context(name='ferroce0').query_device().phys_port_cnt)"

$run ibv_rc_pingpong -g 0 &
server=$!
until $run ibv_rc_pingpong -g 0 127.0.0.1; do
    kill -0 $server
    sleep 0.3
done
wait $server
