import common = require('@temporalio/common');

/** Failures whose message and stack pass through the payload codec, since engines quote values in them. */
const failureConverter = new common.DefaultFailureConverter({ encodeCommonAttributes: true });

export = { failureConverter };
