#!/usr/bin/env bash
# Makes every call of the guide to a running store, shows each answer and checks it.
# Usage: ./test-grpc.sh [BASE_URL]    (default http://localhost:8000; port 5000 answers the same)
# Exit status: 0 when every answer is right, 1 when one is not; the calls that went wrong are named at the end.
set -euo pipefail

base=${1:-http://localhost:8000}
base=${base%/}
calls=0
failed=0
failures=()

# ask METHOD PATH [JSON]: sets $call, $status, $head and $body, and shows them.
ask() {
    call="$1 $2"
    calls=$((calls + 1))
    local request=(--silent --show-error --include --max-time 15 --noproxy localhost,127.0.0.1 --request "$1")
    if [[ $# -gt 2 ]]; then
        request+=(--header 'Content-Type: application/json' --data "$3")
    fi
    printf '\n%s\n' "$call ${3:-}"
    local answer
    if ! answer=$(curl "${request[@]}" "$base$2" 2>&1); then
        printf '%s\n' "$answer" "FAILED: $call: no answer from $base; is the store running? Start it with: mesh up" >&2
        exit 1
    fi
    head=${answer%%$'\r\n\r\n'*}
    body=${answer#*$'\r\n\r\n'}
    status=${head#* }
    status=${status%%[ $'\r']*}
    printf '  %s %s\n' "$status" "${body:0:500}"
}

# header NAME: its values in the last answer, one a line; the name in lower case.
header() {
    local line
    while IFS= read -r line; do
        line=${line%$'\r'}
        if [[ $line == "$1: "* ]]; then
            printf '%s\n' "${line#*: }"
        fi
    done <<<"$head"
}

# wrong REASON: counts the last call as failed, once.
wrong() {
    printf '  WRONG: %s\n' "$1"
    if [[ $failed != "$calls" ]]; then
        failed=$calls
        failures+=("$call: $1")
    fi
}

# expect STATUS PART...: the last answer's status, and pieces of text that its body must hold.
expect() {
    local wanted=$1 part
    shift
    if [[ $status != "$wanted" ]]; then
        wrong "the status is $status, not $wanted"
    fi
    for part in "$@"; do
        if [[ $body != *"$part"* ]]; then
            wrong "the answer does not hold $part"
        fi
    done
}

# created PATH REST: the last answer is 201 with an object {"id":N,REST and its Location; sets $id to N.
created() {
    expect 201 ",$2"
    id=
    if [[ $body =~ ^\{\"id\":([0-9]+), ]]; then
        id=${BASH_REMATCH[1]}
    else
        wrong 'the answer does not begin with an id that is a number'
    fi
    if [[ $(header location) != "$1/$id" ]]; then
        wrong "the Location is '$(header location)', not $1/$id"
    fi
}

# is_list: the last answer is a JSON array.
is_list() {
    if [[ $body != \[*\] ]]; then
        wrong 'the answer is not a list'
    fi
}

ada='{"id":1,"name":"Ada Lovelace","email":"ada@example.com"}'
laptop='{"id":1,"name":"Laptop","price":999.99,"description":"Fourteen inches, and quiet"}'
nobody=2147483647 # the largest id there can be

echo "Asking $base"
ask GET /
expect 200 '"service":"gateway"'
ask GET /health
expect 200 '"status":"SERVING"'

# /api/grpc goes over gRPC to the service, /api over HTTP; both give the same answers.
for way in /api/grpc /api; do
    ask GET $way/users
    expect 200 "$ada"
    is_list
    ask GET $way/users/1
    expect 200 "$ada"
    ask POST $way/users '{"name":"Bob","email":"bob@example.com"}'
    created $way/users '"name":"Bob","email":"bob@example.com"}'
    bob=$body
    if [[ -n $id ]]; then
        ask GET "/api/grpc/users/$id"
        expect 200 "$bob"
        ask GET "/api/users/$id"
        expect 200 "$bob"
    fi
    ask GET $way/users/$nobody
    expect 404 '"code":5' "user $nobody does not exist"
    ask POST $way/users '{"name":"Bob","email":"nowhere"}'
    expect 400 '"code":3' email

    ask GET $way/products
    expect 200 "$laptop"
    is_list
    ask GET $way/products/1
    expect 200 "$laptop"
    ask POST $way/products '{"name":"Keyboard","price":49.9,"description":"Quiet keys"}'
    created $way/products '"name":"Keyboard","price":49.9,"description":"Quiet keys"}'
    keyboard=$body
    if [[ -n $id ]]; then
        ask GET "/api/grpc/products/$id"
        expect 200 "$keyboard"
        ask GET "/api/products/$id"
        expect 200 "$keyboard"
    fi
    ask GET $way/products/$nobody
    expect 404 '"code":5' "product $nobody does not exist"
    ask POST $way/products '{"name":"Keyboard","price":-1}'
    expect 400 '"code":3' price
done

ask POST /api/orders '{"user_id":1,"product_id":1,"quantity":3}'
created /api/orders '"user_id":1,"product_id":1,"quantity":3,"total_price":2999.97,"status":"created","created_at":"'
order=$body
asked=$(header server-timing)
printf '  asked: %s\n' "${asked//$'\n'/, }"
for service in user-service product-service; do
    if ! [[ $asked =~ $service\;desc=\"(grpc|http)\" ]]; then
        wrong "Server-Timing does not say which way $service was asked"
    fi
done
if [[ -n $id ]]; then
    ask GET "/api/orders/$id"
    expect 200 "$order"
fi
ask GET /api/orders
expect 200 "$order"
is_list
ask GET /api/orders/$nobody
expect 404 '"code":5' "order $nobody does not exist"
ask POST /api/orders "{\"user_id\":$nobody,\"product_id\":1,\"quantity\":1}"
expect 404 '"code":5' "user $nobody does not exist"
ask POST /api/orders "{\"user_id\":1,\"product_id\":$nobody,\"quantity\":1}"
expect 404 '"code":5' "product $nobody does not exist"
ask POST /api/orders '{"user_id":1,"product_id":1,"quantity":0}'
expect 400 '"code":3' quantity

echo
if [[ ${#failures[@]} -gt 0 ]]; then
    printf 'FAILED: %s\n' "${failures[@]}" >&2
    exit 1
fi
echo "All $calls answers of $base are right."
