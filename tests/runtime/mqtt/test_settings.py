"""What can be said about a broker, and what cannot."""

import pytest

from tierwise.core.errors import ConfigurationError
from tierwise.runtime.transports.mqtt.settings import MqttSettings

URL = "mqtt://127.0.0.1"


@pytest.mark.parametrize(
    ("broker", "host", "port", "tls"),
    [
        ("mqtt://localhost", "localhost", 1883, False),
        ("mqtt://127.0.0.1:18830/", "127.0.0.1", 18830, False),
        ("mqtt://[::1]:1884", "::1", 1884, False),
        ("mqtts://broker.example", "broker.example", 8883, True),
        ("mqtts://Broker.Example:443", "broker.example", 443, True),
    ],
)
def test_where_the_broker_is(broker, host, port, tls):
    found = MqttSettings(broker=broker)
    assert (found.host, found.port, found.tls) == (host, port, tls)
    assert MqttSettings(broker=found.url).url == found.url


def test_user_and_password_from_the_url_or_apart():
    found = MqttSettings(broker="mqtts://kitchen:p%40ss%3Aword@broker.example")
    assert (found.user, found.secret) == ("kitchen", "p@ss:word")
    found = MqttSettings(broker="mqtts://broker.example", username="kitchen", password="p@ss:word")
    assert (found.user, found.secret) == ("kitchen", "p@ss:word")


def test_the_password_is_never_shown():
    for found in (
        MqttSettings(broker="mqtts://kitchen:hunter2@broker.example"),
        MqttSettings(broker="mqtts://broker.example", username="kitchen", password="hunter2"),
    ):
        assert "hunter2" not in f"{found!r} {found} {found.url}"
    for broker in ("mqtt://kitchen:hunter2@[::1", "http://kitchen:hunter2@host", "mqtts://k:hunter2@host:port"):
        with pytest.raises(ConfigurationError) as caught:
            MqttSettings(broker=broker)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("changed", "key", "words"),
    [
        ({"broker": "broker.example"}, "broker", "mqtts://HOST"),
        ({"broker": "http://broker.example"}, "broker", "mqtts://HOST"),
        ({"broker": "mqtts://broker.example/path"}, "broker", "mqtts://HOST"),
        ({"broker": "mqtts://broker.example:0"}, "broker", "mqtts://HOST"),
        ({"broker": "mqtts://broker.example:99999"}, "broker", "host or port"),
        ({"broker": "mqtts://" + "x" * 70}, "broker", "host or port"),
        ({"broker": "mqtt://broker.example"}, "broker", "without TLS everybody on the way"),
        ({"broker": "mqtt://192.168.1.5"}, "broker", "set `insecure`"),
        ({"password": "secret"}, "password", "without `username`"),
        ({"broker": "mqtt://a:b@localhost", "password": "c"}, "password", "leave one of them out"),
        ({"protocol": "4"}, "protocol", "'3.1.1' or '5'"),
        ({"chunk_bytes": 10}, "chunk_bytes", "at least 1024"),
        ({"keepalive_s": 0}, "keepalive_s", "at least 1 and at most 65535"),
        ({"reconnect_s": 5.0, "reconnect_limit_s": 1.0}, "reconnect_limit_s", "at least 5.0"),
        ({"patience_s": float("nan")}, "patience_s", "at least 0"),
        ({"ca_file": "ca.pem"}, "ca_file", "is for TLS"),
        ({"broker": "mqtts://localhost", "ca_file": "ca.pem", "ca": "x"}, "ca_file", "leave one of them out"),
        ({"broker": "mqtts://localhost", "key_file": "key.pem"}, "key_file", "without its certificate"),
        ({"prefix": "a/b/c/d/e"}, "", "topic prefix"),
        ({"federation": "a+b"}, "", "federation 'a+b'"),
    ],
)
def test_what_cannot_be(changed, key, words):
    with pytest.raises(ConfigurationError) as caught:
        MqttSettings(**{"broker": URL, **changed})
    assert words in str(caught.value)
    assert caught.value.key == key


def test_a_plain_connection_elsewhere_can_be_meant():
    assert not MqttSettings(broker="mqtt://192.168.1.5", insecure=True).tls


@pytest.mark.parametrize(
    ("changed", "key"),
    [({"ca": "nothing"}, "ca"), ({"ca_file": "/nowhere/ca.pem"}, "ca_file"), ({"cert_file": "/nowhere"}, "cert_file")],
)
def test_certificates_that_are_none(changed, key):
    with pytest.raises(ConfigurationError) as caught:
        MqttSettings(broker="mqtts://localhost", **changed).tls_context()
    assert caught.value.key == key


def test_without_tls_there_is_no_context():
    assert MqttSettings(broker=URL).tls_context() is None
