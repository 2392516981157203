/**
 * A port below those that the system hands out by itself: who has it may be stopped for a while, and nobody else who asks
 * for any port is given it meanwhile. Somebody may listen there already: then draw again.
 */
export const drawPort = () => 10_000 + Math.floor(Math.random() * 20_000);
