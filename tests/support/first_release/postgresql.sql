-- What the first release left in a PostgreSQL database: three payments, one of them changed, and three links.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.currency (
    id uuid NOT NULL,
    acronym text NOT NULL,
    decimals smallint NOT NULL,
    CONSTRAINT currency_acronym_check CHECK (((acronym = TRIM(BOTH FROM acronym)) AND ((length(acronym) >= 1) AND (length(acronym) <= 16)))),
    CONSTRAINT currency_decimals_check CHECK (((decimals >= 0) AND (decimals <= 18)))
);
CREATE TABLE public.method (
    id uuid NOT NULL,
    name text NOT NULL,
    CONSTRAINT method_name_check CHECK (((name = TRIM(BOTH FROM name)) AND ((length(name) >= 1) AND (length(name) <= 64))))
);
CREATE TABLE public.payment (
    id uuid NOT NULL,
    method_id uuid NOT NULL,
    currency_id uuid NOT NULL,
    transaction_id text NOT NULL,
    minor_units bigint NOT NULL,
    CONSTRAINT payment_minor_units_check CHECK (((minor_units >= 0) AND (minor_units <= '9223372036854775807'::bigint))),
    CONSTRAINT payment_minor_units_check1 CHECK ((minor_units = minor_units)),
    CONSTRAINT payment_transaction_id_check CHECK (((TRIM(BOTH FROM transaction_id) <> ''::text) AND (length(transaction_id) <= 128)))
);
CREATE TABLE public.schema_migration (
    id integer NOT NULL,
    name character varying(255) NOT NULL,
    applied timestamp without time zone NOT NULL
);
CREATE SEQUENCE public.schema_migration_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.schema_migration_id_seq OWNED BY public.schema_migration.id;
CREATE TABLE public.ticket_payment (
    payment_id uuid NOT NULL,
    ticket_id text NOT NULL,
    linked_at timestamp with time zone NOT NULL,
    CONSTRAINT ticket_payment_ticket_id_check CHECK (((TRIM(BOTH FROM ticket_id) <> ''::text) AND (length(ticket_id) <= 64)))
);
ALTER TABLE ONLY public.schema_migration ALTER COLUMN id SET DEFAULT nextval('public.schema_migration_id_seq'::regclass);
INSERT INTO public.currency VALUES ('01950000-0000-7000-8000-000000000101', 'EUR', 2);
INSERT INTO public.currency VALUES ('01950000-0000-7000-8000-000000000102', 'USD', 2);
INSERT INTO public.currency VALUES ('01950000-0000-7000-8000-000000000103', 'MXN', 2);
INSERT INTO public.currency VALUES ('01950000-0000-7000-8000-000000000104', 'BTC', 8);
INSERT INTO public.currency VALUES ('0195a352-bf62-7619-b1ae-31abb00e6829', 'JPY', 0);
INSERT INTO public.method VALUES ('01950000-0000-7000-8000-000000000001', 'Cash');
INSERT INTO public.method VALUES ('01950000-0000-7000-8000-000000000002', 'Credit Card');
INSERT INTO public.method VALUES ('01950000-0000-7000-8000-000000000003', 'Debit Card');
INSERT INTO public.method VALUES ('01950000-0000-7000-8000-000000000004', 'Bitcoin Lightning');
INSERT INTO public.method VALUES ('0195a352-c0d6-778e-8996-2bce90d49ac2', 'Vale de comida ñ');
INSERT INTO public.payment VALUES ('0195a352-cf97-71d5-bbc2-5c8d609f4082', '01950000-0000-7000-8000-000000000004', '01950000-0000-7000-8000-000000000104', 'lnbc-1 ', 1);
INSERT INTO public.payment VALUES ('0195a352-cfa2-72bb-887b-9cb74d337945', '0195a352-c0d6-778e-8996-2bce90d49ac2', '0195a352-bf62-7619-b1ae-31abb00e6829', 'o''brien; ñ \', 92233720368547);
INSERT INTO public.payment VALUES ('0195a352-cf8c-7112-af1d-2efc3234835b', '01950000-0000-7000-8000-000000000001', '01950000-0000-7000-8000-000000000101', '0195a352-cf8c-7112-af1d-2efc3234835b', 4650);
INSERT INTO public.schema_migration VALUES (1, '0001_first_tables', '2026-11-22 12:54:44.320493');
INSERT INTO public.ticket_payment VALUES ('0195a352-cf8c-7112-af1d-2efc3234835b', 'table-4', '2026-11-22 12:54:48.516796+00');
INSERT INTO public.ticket_payment VALUES ('0195a352-cf8c-7112-af1d-2efc3234835b', 'mesa 5 · ñ', '2026-11-22 12:54:48.52422+00');
INSERT INTO public.ticket_payment VALUES ('0195a352-cf97-71d5-bbc2-5c8d609f4082', 'table-4', '2026-11-22 12:54:48.531334+00');
SELECT pg_catalog.setval('public.schema_migration_id_seq', 1, true);
ALTER TABLE ONLY public.currency
    ADD CONSTRAINT currency_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.method
    ADD CONSTRAINT method_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.payment
    ADD CONSTRAINT payment_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.schema_migration
    ADD CONSTRAINT schema_migration_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.ticket_payment
    ADD CONSTRAINT ticket_payment_pkey PRIMARY KEY (payment_id, ticket_id);
CREATE UNIQUE INDEX currency_acronym ON public.currency USING btree (acronym);
CREATE UNIQUE INDEX method_name ON public.method USING btree (name);
CREATE INDEX payment_currency_id ON public.payment USING btree (currency_id);
CREATE INDEX payment_method_id ON public.payment USING btree (method_id);
CREATE UNIQUE INDEX payment_transaction_id ON public.payment USING btree (transaction_id);
CREATE UNIQUE INDEX schema_migration_name ON public.schema_migration USING btree (name);
CREATE INDEX ticket_payment_ticket_id ON public.ticket_payment USING btree (ticket_id);
ALTER TABLE ONLY public.payment
    ADD CONSTRAINT payment_currency_id_fkey FOREIGN KEY (currency_id) REFERENCES public.currency(id);
ALTER TABLE ONLY public.payment
    ADD CONSTRAINT payment_method_id_fkey FOREIGN KEY (method_id) REFERENCES public.method(id);
ALTER TABLE ONLY public.ticket_payment
    ADD CONSTRAINT ticket_payment_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES public.payment(id);
