import logging

from karrio.core.utils.logger import logger
from rappit_shipping.carriers import karrio_seam


def test_what_karrio_logs_reaches_our_logs_and_nothing_else(caplog, capsys):
    assert karrio_seam.FedexMapper is not None
    with caplog.at_level(logging.WARNING):
        logger.warning("the label is odd")
        logger.info("chatter")
    assert [record.message.strip() for record in caplog.records] == ["the label is odd"]
    assert capsys.readouterr().err == ""
